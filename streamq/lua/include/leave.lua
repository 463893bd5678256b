-- XGROUP DELCONSUMER throws pending entries away, so a consumer leaves only when nothing of it is pending in any stream.
-- @include pending
-- @include lift
-- @include limits
local function leave(consumer)
  for _, letter in ipairs(LETTERS) do
    if pending_rows(STREAM[letter], '-', '+', 1, consumer)[1] then return false end
  end
  lift()  -- 6.2 refuses DELCONSUMER at maxmemory
  for _, letter in ipairs(LETTERS) do
    local reply = redis.pcall('XGROUP', 'DELCONSUMER', STREAM[letter], GROUP, consumer)
    local wrong = type(reply) == 'table' and reply.err and not is_missing(reply)
    if wrong and not reply.err:find('key to exist', 1, true) then error(reply.err) end
  end
  remember_limits(redis.call('HGET', K.fleet, consumer) or '')
  redis.call('ZREM', K.workers, consumer)
  redis.call('HDEL', K.fleet, consumer)
  redis.call('HDEL', K.running, consumer)
  return true
end
