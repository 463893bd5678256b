-- Recovers what a consumer held whose process is known to be dead, and takes the consumer off the group when nothing is left.
-- ARGV    consumer why batch known, then, where known is "1", the runs that had started: address started_ms
--         known "0": nobody can say what had started, so all of it counts as started, with the times of the last heartbeat
-- Returns {crashed, handed_back, left}: left "1" when there is more to reap.
-- @include address
-- @include clock
-- @include record
-- @include parked
-- @include minutes
-- @include orphan
-- @include leave

local consumer, why, batch, known = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local now, crashed, handed_back, started = clock(), 0, 0, {}
for i = 5, #ARGV, 2 do started[ARGV[i]] = ARGV[i + 1] end
local running = redis.call('HGET', K.running, consumer) or ''

for _, letter in ipairs(LETTERS) do
  local room = batch - crashed - handed_back
  for _, row in ipairs(room > 0 and pending_rows(STREAM[letter], '-', '+', room, consumer) or {}) do
    local address = letter .. row[1]
    local had_started = not known or started[address] ~= nil
    redis.call('XCLAIM', STREAM[letter], GROUP, '~reap', 0, row[1], 'JUSTID')
    if orphan(letter, row, now, started[address] or started_of(running, address), had_started, why) then
      if had_started then crashed = crashed + 1 else handed_back = handed_back + 1 end
    end
  end
end
if crashed > 0 then tally(open_minute(now), 'failed', crashed) end
if crashed + handed_back > 0 then redis.call('HINCRBY', K.stats, 'reaped', crashed + handed_back) end
return {crashed, handed_back, leave(consumer) and '0' or '1'}
