-- A group that is missing is made from `0`, never from `$`: what stands in the stream is accepted work. Its maker notes the stream's
-- last id as a mark: at or below it `>` brings entries that were parked or counted before, and take looks each of them up. A stream
-- of which nothing is known, such as one that no worker has read yet, needs none; of `later` all is parked.
-- @include lift
-- @include pending
-- @include record
-- @include parked
local function make_group(letter)
  lift()
  redis.call('XGROUP', 'CREATE', STREAM[letter], GROUP, '0', 'MKSTREAM')
  if letter ~= 's' and redis.call('EXISTS', K.attempts, RETRY[letter], SUSPECTS[letter]) == 0 then return false end
  local last = redis.call('XREVRANGE', STREAM[letter], '+', '-', 'COUNT', 1)[1]
  if last then redis.call('HSET', K.control, letter, last[1]) end
  return last and last[1] or false
end

-- Makes a group where it is missing, whatever other groups the stream may have; returns whether it did.
local function ensure_group(letter)
  local reply = redis.pcall('XPENDING', STREAM[letter], GROUP, '-', '+', 1)
  if not reply.err then return false end
  if not is_missing(reply) then error(reply.err) end
  make_group(letter)
  return true
end

local function marks_standing()
  local reply = redis.call('HMGET', K.control, 'h', 'd', 'l', 's', 'paused')
  return {h = reply[1], d = reply[2], l = reply[3], s = reply[4]}, reply[5]
end
