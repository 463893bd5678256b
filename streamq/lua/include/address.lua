-- An address is the letter of a stream and an entry id: entry ids repeat between streams, so neither names a task alone.
local GROUP = 'workers'
local STREAM = {h = K.high, d = K.default, l = K.low, s = K.later}
local LETTERS = {'h', 'd', 'l', 's'}
local LETTER = {high = 'h', default = 'd', low = 'l', h = 'h', d = 'd', l = 'l'}

local function split(address)
  local letter = address:sub(1, 1)
  return STREAM[letter], address:sub(2), letter
end

local function field(entry, name)
  for i = 1, #entry, 2 do
    if entry[i] == name then return entry[i + 1] end
  end
end

local function fields_of(address)
  local stream, entry = split(address)
  local found = redis.call('XRANGE', stream, entry, entry)[1]
  return found and found[2]
end
