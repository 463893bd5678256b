-- Whether a consumer's heartbeat has expired, so that a sweep will take from it whatever it holds: it is handed nothing until it has
-- beaten again. One that never beat is not swept for its silence.
local function is_silent(consumer, now)
  local expiry = redis.call('ZSCORE', K.workers, consumer)
  return expiry and tonumber(expiry) <= now
end
