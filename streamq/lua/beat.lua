-- The heartbeat of a supervisor's consumers, and the fleet's watch on the server's clock.
-- ARGV    lease_ms run_id ttl_ms, then a consumer: name card running
--         card "<lease_ms> <json>"; running "\naddress started_ms" a run, kept behind the time of the beat
-- Returns the server's time. A gap of more than half a lease between anybody's beats, a step back of the clock, or another run of
-- the server looks like idle workers: for one lease nothing is reaped by time alone.
-- @include clock
-- @include lift

local lease, run_id, ttl, now = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), clock()
lift()
local seen = redis.call('HMGET', K.control, 'beat', 'run')
local last = tonumber(seen[1] or 0)
if now - last > lease / 2 or now < last or seen[2] ~= run_id then
  redis.call('HSET', K.control, 'hold', now + lease)
end
redis.call('HSET', K.control, 'beat', now, 'run', run_id)
for i = 4, #ARGV, 3 do
  redis.call('ZADD', K.workers, now + ttl, ARGV[i])
  redis.call('HSET', K.fleet, ARGV[i], ARGV[i + 1])
  redis.call('HSET', K.running, ARGV[i], now .. ARGV[i + 2])
end
return now
