-- What `>` brings at or below a mark, before it may start: parked stays parked, what ran in quarantine goes back to the suspects
-- instead of running beside others, and the rest goes on counting.
local function admitted(address, consumer)
  local stream, entry, letter = split(address)
  if parked_in(address, letter) then
    redis.call('XACK', stream, GROUP, entry)
    return nil
  end
  local count, forgiven, crashes, unknown, attempts = record(address)
  if crashes >= SUSPECT_AFTER then
    redis.call('XCLAIM', stream, GROUP, consumer, 0, entry, 'JUSTID')  -- as a first write it lifts the check at maxmemory
    redis.call('ZADD', SUSPECTS[letter], clock(), address)
    redis.call('XACK', stream, GROUP, entry)
    return nil
  end
  count = count + 1
  if count > 1 then redis.call('XCLAIM', stream, GROUP, consumer, 0, entry, 'RETRYCOUNT', count, 'JUSTID') end
  return {address, count, forgiven, crashes, unknown, attempts:sub(2)}
end
