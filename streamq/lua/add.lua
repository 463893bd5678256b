-- Accepts tasks: bounded, unique where asked, idempotent per producer.
-- ARGV    lane number bound, then a task: head n field value … (n strings follow)
--         head is the letter of a priority, or "letter;due;expires;u": due and expires are "", "+ms" from now or "@ms" absolute;
--         u says that the field `key` must be free
-- Returns {"ok" | "again", ids}: what was accepted, in the order sent, as ranges "<letter><ms>-<seq>+<more>"; "=<id>" is the
--         task that holds the key already. Fewer ids than tasks: the queue is full. A number below the last is an error.
-- @include address
-- @include clock
-- @include unique

local VALUES_MOST = 1000  -- so that `unpack` can pass them on
local lane, number, bound = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local last = redis.call('HGET', K.producers, lane)
if last then
  local seen, ids = last:match('^(%d+) %d+ (.*)$')
  seen = tonumber(seen)
  if number == seen then return {'again', ids} end
  if number < seen then return redis.error_reply('STALE lane ' .. lane .. ' is at ' .. seen) end
end

local room = math.huge
if bound > 0 then
  room = bound
  for _, letter in ipairs(LETTERS) do room = room - redis.call('XLEN', STREAM[letter]) end
end

local now = clock()
local SCHEDULED = {h = K['scheduled:high'], d = K['scheduled:default'], l = K['scheduled:low']}

local function absolute(time)
  if time == '' then return nil end
  local ms = tonumber(time:sub(2))
  return time:sub(1, 1) == '+' and now + ms or ms
end

-- One task that asks for more than a plain XADD: reads its head, adds it, returns its letter and entry id, or the key's holder, or
-- nothing where the queue is full: joining a task needs no room.
local function add_special(head, i, n, full)
  local letter, due, expires, unique = head:match('^(.);([^;]*);([^;]*);(u?)$')
  due, expires = absolute(due), absolute(expires)
  local entry = {}
  if due and due > now then
    entry = {'priority', letter, 'due', due}
  end
  for j = i, i + n - 1 do entry[#entry + 1] = ARGV[j] end
  if expires then
    entry[#entry + 1] = 'expires'
    entry[#entry + 1] = expires
  end
  local key = unique == 'u' and field(entry, 'key')
  local holder = key and holder_of(key)
  if holder then return nil, holder end
  if full then return end
  local to = due and due > now and 's' or letter
  local id = redis.pcall('XADD', STREAM[to], '*', unpack(entry))
  if type(id) == 'table' then return nil, id end
  if to == 's' then redis.call('ZADD', SCHEDULED[letter], due, 's' .. id) end
  if key then redis.call('HSET', K.unique, key, to .. id) end
  return to, id
end

local out, i, accepted = {}, 4, 0
local letter, ms, first, more
local function close_range()
  if letter then out[#out + 1] = letter .. first .. '+' .. more end
  letter = nil
end

while i <= #ARGV do
  local head, n, full = ARGV[i], tonumber(ARGV[i + 1]), accepted >= room
  local to, id
  if full and #head == 1 then break end
  if n > VALUES_MOST then
    id = redis.error_reply('ERR a task may have ' .. VALUES_MOST / 2 .. ' fields at most, this one has ' .. n / 2)
  elseif #head == 1 then
    to, id = head, redis.pcall('XADD', STREAM[head], '*', unpack(ARGV, i + 2, i + 1 + n))
  else
    to, id = add_special(head, i + 2, n, full)
    if not id then break end
  end
  if type(id) == 'table' then  -- refused by the server, which says so at the first write or not at all: what stands is accepted
    if #out == 0 and not letter then return redis.error_reply((id.err:gsub('^@user_script: ?%d+: %-?', ''))) end  -- as 6.2 has it
    break
  end
  if to then
    local at = id:match('^%d+')
    if to == letter and at == ms then  -- nobody else adds while a script runs: the next entry of a millisecond is the next number
      more = more + 1
    else
      close_range()
      letter, ms, first, more = to, at, id, 0
    end
    accepted = accepted + 1
  else
    close_range()
    out[#out + 1] = '=' .. id
  end
  i = i + 2 + n
end
close_range()

out = table.concat(out, ' ')
redis.call('HSET', K.producers, lane, ARGV[2] .. ' ' .. now .. ' ' .. out)
return {'ok', out}
