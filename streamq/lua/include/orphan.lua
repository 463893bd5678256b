-- Recovery of an entry whose holder is gone: parked, due now. A run that had started counts as a crash; what had only been handed
-- out is forgiven. `row` is the pending row as it was before the reaper took the entry: {entry, consumer, idle, count}.
-- Any client may join the group under any name: what is told of it stays valid JSON.
local function json_text(text)
  return (text:gsub('[^ -~]', '?'):gsub('["\\]', "'"))
end

local function orphan(letter, row, now, started, crashed, why)
  local address = letter .. row[1]
  if not fields_of(address) then  -- deleted behind our back
    redis.call('XACK', STREAM[letter], GROUP, row[1])
    redis.call('HDEL', K.attempts, address)
    return false
  end
  local known, forgiven, crashes, unknown, attempts = record(address)
  local count = count_to_park(address, row[4], known)
  if not count then return false end
  if crashed then
    crashes = crashes + 1
    attempts = with_attempt(attempts, string.format(
      '{"delivery":%d,"worker":"%s","started_ms":%s,"ended_ms":%d,"error":"%s"}',
      count - forgiven, json_text(row[2]:match('^(.+)%-[^-]*$') or row[2]), started or 'null', now, json_text(why)))
  else
    forgiven = forgiven + 1
  end
  park(address, now, count, forgiven, crashes, unknown, attempts)
  return true
end

-- When each run of a consumer had started, as its last heartbeat told: "address started_ms" a line.
local function started_of(running, address)
  return running:match('\n' .. address:gsub('%-', '%%-') .. ' (%d+)')
end
