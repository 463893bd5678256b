-- XGROUP DELCONSUMER throws pending entries away, so a consumer leaves only when nothing of it is pending in any stream.
local function leave(consumer)
  for _, letter in ipairs(LETTERS) do
    local reply = redis.pcall('XPENDING', STREAM[letter], GROUP, '-', '+', 1, consumer)
    if not reply.err and reply[1] then return false end
  end
  for _, letter in ipairs(LETTERS) do redis.pcall('XGROUP', 'DELCONSUMER', STREAM[letter], GROUP, consumer) end
  redis.call('ZREM', K.workers, consumer)
  redis.call('HDEL', K.fleet, consumer)
  redis.call('HDEL', K.running, consumer)
  return true
end
