-- Hands on, by order of a person, runs that are stuck: each only while it is still held as it was seen.
-- ARGV    why, then a run: address consumer count
-- Returns the addresses that were handed on.
-- @include address
-- @include clock
-- @include fence
-- @include record
-- @include parked
-- @include minutes
-- @include orphan

local now, out = clock(), {}
for i = 2, #ARGV, 3 do
  local address, consumer, count = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if held(address, consumer, count) then
    local stream, entry, letter = split(address)
    local running = redis.call('HGET', K.running, consumer) or ''
    redis.call('XCLAIM', stream, GROUP, '~reap', 0, entry, 'JUSTID')
    if orphan(letter, {entry, consumer, 0, tonumber(count)}, now, started_of(running, address), true, ARGV[1]) then
      out[#out + 1] = address
    end
  end
end
if #out > 0 then
  tally(open_minute(now), 'failed', #out)
  redis.call('HINCRBY', K.stats, 'reaped', #out)
end
return out
