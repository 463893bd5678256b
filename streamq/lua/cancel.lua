-- Cancels a task that has not ended, whatever its state: the entry goes, so the finish of a run under way is fenced off.
-- ARGV    id history by
-- Returns "cancelled", "running" (cancelled while it ran), "dead", or "unknown".
-- @include address
-- @include clock
-- @include find
-- @include fence
-- @include record
-- @include parked
-- @include minutes
-- @include ended

local id, history = ARGV[1], tonumber(ARGV[2])
local address, fields = find(id)
if not address then return redis.call('HEXISTS', K['dead:ids'], id) == 1 and 'dead' or 'unknown' end

id = id_of(address, fields)  -- the address of a task that was revived names it as well
local stream, entry, letter = split(address)
local was_running = pending_of(stream, entry)
local count, forgiven = record(address)
redis.pcall('XACK', stream, GROUP, entry)
for _, zset in ipairs(zsets_of(letter, priority_of(address))) do redis.call('ZREM', zset, address) end
redis.call('XDEL', stream, entry)
redis.call('HDEL', K.attempts, address)
release_names(id, address, field(fields, 'key'))
redis.call('HINCRBY', K.stats, 'cancelled', 1)
local deliveries = (was_running and was_running[4] or count) - forgiven
ended(ARGV[3], ended_line(id, 'cancelled', 0, 0, deliveries, field(fields, 'task') or '?'), 1, history)
return was_running and 'running' or 'cancelled'
