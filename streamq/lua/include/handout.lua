-- Hands a parked entry out: XCLAIM … FORCE makes its pending entry anew with the next delivery count and returns its fields.
-- Nothing that is already pending is claimed; an entry that was deleted behind our back leaves without a trace.
local function hand_out(zset, address, consumer)
  local stream, entry, letter = split(address)
  local got
  if not pending_of(stream, entry) then
    local count, forgiven, crashes, unknown, attempts = record(address)
    local reply = redis.pcall('XCLAIM', stream, GROUP, consumer, 0, entry, 'RETRYCOUNT', count + 1, 'FORCE')
    if reply.err then
      if not is_missing(reply) then error(reply.err) end
      local mark = make_group(letter)
      if mark then return nil, mark end
      reply = {}  -- the stream is empty: it was deleted, and the entry with it
    end
    if reply[1] then got = {address, count + 1, forgiven, crashes, unknown, reply[1][2], attempts:sub(2)}
    else
      redis.call('XACK', stream, GROUP, entry)  -- Redis 6.2 keeps a deleted entry pending
      redis.call('HDEL', K.attempts, address)
    end
  end
  redis.call('ZREM', zset, address)
  return got
end
