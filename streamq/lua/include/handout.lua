-- Hands a parked entry out: XCLAIM … FORCE makes its pending entry anew with the next delivery count and returns its fields.
-- An entry that was deleted behind our back leaves without a trace. Nothing that is pending is claimed: a blocked read has passed a
-- mark with it, or a stranger holds it; it stays parked, and is looked at again in a second.
-- @include lift
local LOOK_AGAIN = 1000

local function hand_out(zset, address, consumer)
  local stream, entry, letter = split(address)
  if not stream or not entry:match('^%d+%-%d+$') then  -- somebody else's: no entry can have this address
    redis.call('ZREM', zset, address)
    return nil
  end
  if pending_of(stream, entry) then
    lift()
    redis.call('ZADD', zset, clock() + LOOK_AGAIN, address)
    return nil
  end
  local count, forgiven, crashes, unknown, attempts = record(address)
  local reply = redis.pcall('XCLAIM', stream, GROUP, consumer, 0, entry, 'RETRYCOUNT', count + 1, 'FORCE')
  if reply.err then
    if not is_missing(reply) then error(reply.err) end
    local mark = make_group(letter)
    if mark then return nil, mark end
    reply = {}  -- the stream is empty: it was deleted, and the entry with it
  end
  redis.call('ZREM', zset, address)
  if reply[1] then return {address, count + 1, forgiven, crashes, unknown, reply[1][2], attempts:sub(2)} end
  redis.call('XACK', stream, GROUP, entry)  -- Redis 6.2 keeps a deleted entry pending
  redis.call('HDEL', K.attempts, address)
end
