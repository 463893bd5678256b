-- Puts a dead letter back into its queue as a new entry under its first id; all its deliveries are forgiven, its attempts are kept.
-- An entry once deleted cannot be added again under its id, so `moved` says where the task stands now.
-- ARGV    id
-- Returns {"ok", address}, {"unknown"}, or {"taken", holder}: its unique key belongs to another task now.
-- @include address
-- @include clock
-- @include unique

local LETTER_FIELDS = 16  -- id reason error traceback deliveries attempts priority worker, a value each
local RESERVED = {id = true, due = true, priority = true}
local id = ARGV[1]
local dead = redis.call('HGET', K['dead:ids'], id)
local found = dead and redis.call('XRANGE', K.dead, dead, dead)[1]
if not found then return {'unknown'} end

local letter_of_death, now, entry = found[2], clock(), {'id', id}
local attempts, priority = letter_of_death[12], letter_of_death[14]
local fields = {}
for i = LETTER_FIELDS + 1, #letter_of_death do fields[#fields + 1] = letter_of_death[i] end
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  local is_past = name == 'expires' and (tonumber(value) or 0) <= now
  if not RESERVED[name] and not is_past then
    entry[#entry + 1] = name
    entry[#entry + 1] = value
  end
end

local key = field(fields, 'key')
if key then
  local holder = holder_of(key)
  if holder and holder ~= id then return {'taken', holder} end
end
local address = priority .. redis.call('XADD', STREAM[priority], '*', unpack(entry))
if key then redis.call('HSET', K.unique, key, id) end
redis.call('HSET', K.moved, id, address)
if attempts ~= '' then redis.call('HSET', K.attempts, address, '0 0 0 0\n' .. attempts) end
redis.call('XDEL', K.dead, dead)
redis.call('HDEL', K['dead:ids'], id)
redis.call('HINCRBY', K.stats, 'revived', 1)
return {'ok', address}
