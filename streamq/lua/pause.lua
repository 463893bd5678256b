-- Stops or resumes all hand-outs of the queue.
-- ARGV    "1" to pause, "0" to resume
-- Returns 1 where that changed something.
-- @include lift

lift()
if ARGV[1] == '1' then return redis.call('HSET', K.control, 'paused', '1') end
return redis.call('HDEL', K.control, 'paused')
