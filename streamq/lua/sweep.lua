-- The timed recovery of a fleet, one sweep at a time: consumers whose heartbeat expired, then entries whose lease ran out (XAUTOCLAIM
-- with the longest lease registered, the cursor kept between calls). Makes missing groups and drops producer lanes of an hour ago.
-- ARGV    lease_ms period_ms batch: one sweep recovers at most `batch` tasks; where it comes to that, the next one need not wait
-- Returns {reaped, suspects_due, held_back}: held_back "1" while beats or the server have just come back.
-- @include address
-- @include clock
-- @include record
-- @include parked
-- @include group
-- @include minutes
-- @include orphan
-- @include longest
-- @include leave

local LANE_KEPT = 3600000
local lease, period, batch, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), clock()
local control = redis.call('HMGET', K.control,
  'sweep', 'hold', 'quiet', 'cursor:h', 'cursor:d', 'cursor:l', 'cursor:s', 'cursor:lanes')
local cursors = {h = control[4], d = control[5], l = control[6], s = control[7]}

local function suspects_due()
  local n = 0
  for _, letter in ipairs(LETTERS) do n = n + redis.call('ZCOUNT', SUSPECTS[letter], '-inf', now) end
  return n
end

local next_sweep = tonumber(control[1] or 0)
if now < next_sweep and next_sweep <= now + period then return {0, suspects_due(), '0'} end
lift()
redis.call('HSET', K.control, 'sweep', now + period)

local lanes = redis.call('HSCAN', K.producers, control[8] or '0', 'COUNT', batch)
for i = 1, #lanes[2], 2 do
  if tonumber(lanes[2][i + 1]:match('^%d+ (%d+)') or 0) < now - LANE_KEPT then redis.call('HDEL', K.producers, lanes[2][i]) end
end
redis.call('HSET', K.control, 'cursor:lanes', lanes[1])

for _, letter in ipairs(LETTERS) do ensure_group(letter) end

-- Nobody has beaten for long: whoever beats next will start the hold.
if now < tonumber(control[2] or 0) or now > tonumber(control[3] or 0) then return {0, suspects_due(), '1'} end

local reaped, room = 0, batch
local function recover(letter, row, why, running)
  room = room - 1
  if orphan(letter, row, now, started_of(running, letter .. row[1]), true, why) then reaped = reaped + 1 end
end

for _, consumer in ipairs(redis.call('ZRANGEBYSCORE', K.workers, '-inf', now, 'LIMIT', 0, 10)) do
  local running = redis.call('HGET', K.running, consumer) or ''
  for _, letter in ipairs(LETTERS) do
    for _, row in ipairs(room > 0 and pending_rows(STREAM[letter], '-', '+', room, consumer) or {}) do
      redis.call('XCLAIM', STREAM[letter], GROUP, '~reap', 0, row[1], 'JUSTID')
      recover(letter, row, 'worker lost: its heartbeat stopped', running)
    end
  end
  leave(consumer)
end

lease = longest_lease(lease)
for _, letter in ipairs(LETTERS) do
  if room < 1 then break end
  local cursor, of = cursors[letter] or '0-0', {}
  for _, row in ipairs(pending_rows(STREAM[letter], cursor, '+', batch * 10)) do of[row[1]] = row end
  local reply = redis.call('XAUTOCLAIM', STREAM[letter], GROUP, '~reap', lease, cursor, 'COUNT', room, 'JUSTID')
  for _, deleted in ipairs(reply[3] or {}) do redis.call('HDEL', K.attempts, letter .. deleted) end
  for _, entry in ipairs(reply[2]) do
    if of[entry] then
      recover(letter, of[entry], 'lease lost: not renewed in time', redis.call('HGET', K.running, of[entry][2]) or '')
    end
  end
  redis.call('HSET', K.control, 'cursor:' .. letter, reply[1])
end
if room < 1 then redis.call('HSET', K.control, 'sweep', now) end
if reaped > 0 then
  tally(open_minute(now), 'failed', reaped)
  redis.call('HINCRBY', K.stats, 'reaped', reaped)
end
return {reaped, suspects_due(), '0'}
