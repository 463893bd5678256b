-- Makes a parked task due now: a scheduled one, or one that waits for its retry.
-- ARGV    id
-- Returns "ok", "waiting" (nothing to hasten), "running", "dead", or "unknown".
-- @include address
-- @include clock
-- @include find
-- @include fence
-- @include record
-- @include parked
-- @include lift

local id = ARGV[1]
local address = find(id)
if not address then
  return redis.call('HEXISTS', K['dead:ids'], id) == 1 and 'dead' or 'unknown'
end
local zset, due = parked_in(address, priority_of(address))
if zset then
  lift()
  redis.call('ZADD', zset, math.min(due, clock()), address)
  return 'ok'
end
local stream, entry = split(address)
return pending_of(stream, entry) and 'running' or 'waiting'
