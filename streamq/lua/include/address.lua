-- An address is the letter of a stream and an entry id: entry ids repeat between streams, so neither names a task alone.
local GROUP = 'workers'
local STREAM = {h = K.high, d = K.default, l = K.low, s = K.later}
local LETTERS = {'h', 'd', 'l', 's'}
local LETTER = {high = 'h', default = 'd', low = 'l', h = 'h', d = 'd', l = 'l'}

local function split(address)
  local letter = address:sub(1, 1)
  return STREAM[letter], address:sub(2), letter
end

-- Whether an entry id is as old as another or older. Of the same form, as nearly all are, they sort as texts.
local function at_or_below(entry, mark)
  if #entry == #mark and entry:find('-', 1, true) == mark:find('-', 1, true) then return entry <= mark end
  local a, b = entry:match('(%d+)-(%d+)')
  local c, d = mark:match('(%d+)-(%d+)')
  a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  return a < c or a == c and b <= d
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
