-- The heartbeat of a supervisor's consumers, and the fleet's watch on the server's clock.
-- ARGV    lease_ms run_id ttl_ms, then a consumer: name card running
--         card "<lease_ms> <json>"; running "\naddress started_ms" a run, kept behind the time of the beat
-- Returns the server's time. Silence of everybody, a step back of the clock, or another run of the server looks like idle workers:
-- until `hold`, the longest lease from then on, nothing is reaped by time alone. Silence means something when it has lasted for two
-- thirds of a heartbeat: another's heartbeat that was given up to a third of its time before would end with it.
-- @include clock
-- @include lift
-- @include longest

local lease, run_id, ttl, now = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), clock()
local seen = redis.call('HMGET', K.control, 'beat', 'quiet', 'run')
lift()
for i = 4, #ARGV, 3 do
  redis.call('ZADD', K.workers, now + ttl, ARGV[i])
  redis.call('HSET', K.fleet, ARGV[i], ARGV[i + 1])
  redis.call('HSET', K.running, ARGV[i], now .. ARGV[i + 2])
end
if now > tonumber(seen[2] or 0) or now < tonumber(seen[1] or 0) or seen[3] ~= run_id then
  redis.call('HSET', K.control, 'hold', now + longest_lease(lease))
end
redis.call('HSET', K.control, 'beat', now, 'quiet', now + math.floor(ttl * 2 / 3), 'run', run_id)
return now
