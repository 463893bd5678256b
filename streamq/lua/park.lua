-- Parks tasks that a consumer holds, each until its delay is over: a failed attempt that is to be retried, or a hand-back.
-- ARGV    consumer, then a task: address count delay_ms kind attempt
--         kind "retry" counts against the limit; "release" (handed back), "snooze" (not now), "unknown" (no such task here) and
--         "alone" (not beside others: with the suspects) do not
--         attempt: the attempt as a JSON object, or ""
-- Returns the addresses that were refused: their fence no longer holds.
-- @include address
-- @include clock
-- @include fence
-- @include refused
-- @include record
-- @include parked
-- @include minutes

local consumer, refused, now, retried = ARGV[1], {}, clock(), 0
for i = 2, #ARGV, 5 do
  local address, count, delay, kind, attempt = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), ARGV[i + 3], ARGV[i + 4]
  if held(address, consumer, count) then
    local stream, entry = split(address)
    redis.call('XCLAIM', stream, GROUP, consumer, 0, entry, 'JUSTID')
    local known, forgiven, crashes, unknown, attempts = record(address)
    count = count_to_park(address, count, known)
    if count then
      if kind == 'retry' then retried = retried + 1 else forgiven = forgiven + 1 end
      if kind ~= 'unknown' and kind ~= 'release' then unknown = 0
      elseif kind == 'unknown' and unknown == 0 then unknown = now end
      park(address, now + delay, count, forgiven, crashes, unknown, with_attempt(attempts, attempt), kind == 'alone')
    end
  else
    refused[#refused + 1] = address
  end
end
if retried > 0 then
  tally(open_minute(now), 'failed', retried)
  redis.call('HINCRBY', K.stats, 'retried', retried)
end
if #refused > 0 then count_refused(#refused) end
return refused
