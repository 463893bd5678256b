-- Everything that is known of one task, read at one instant. The key of its result stands behind the fixed ones.
-- ARGV    id
-- Returns {now, address, fields, {consumer, idle_ms, count}, record, due, {dead entry, fields}, result, running}; false where there is none.
-- @include address
-- @include clock
-- @include find
-- @include fence
-- @include record
-- @include parked

local id = ARGV[1]
local address, fields = find(id)
local row, due, running
if address then
  local stream, entry = split(address)
  row = pending_of(stream, entry)
  due = select(2, parked_in(address, priority_of(address)))
  if row then running = redis.call('HGET', K.running, row[2]) end
else
  address = id
end
local dead = redis.call('HGET', K['dead:ids'], id)
local letter = dead and redis.call('XRANGE', K.dead, dead, dead)[1] or false
return {
  clock(), address, fields or false, row and {row[2], row[3], row[4]} or false, redis.call('HGET', K.attempts, address),
  due or false, letter, redis.call('GET', KEYS[FIXED_KEYS + 1]), running or false,
}
