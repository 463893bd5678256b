-- Mends what a survey has found, each only where it is still so at this instant; no task is lost by it and none is taken from its holder.
-- ARGV    name of the fault, then its subjects
-- Returns the subjects that were mended.
-- @include address
-- @include clock
-- @include fence
-- @include record
-- @include parked
-- @include group
-- @include faults
-- @include leave

local MEND = {}

-- Nobody can say whether the hand-out that went astray had started: it raises the count, so that whoever holds on to it is fenced
-- off, and is forgiven, so that no task dies of a person's mistake. What is not due yet goes on waiting.
MEND['orphaned-entries'] = function(address)
  local now, count, forgiven, crashes, unknown, attempts = clock(), record(address)
  local due = address:sub(1, 1) == 's' and tonumber((field(standing(address), 'due') or ''):match('^%d+$')) or 0
  if due > now then
    redis.call('ZADD', SCHEDULED[priority_of(address)], due, address)
  else
    park(address, now, count + 1, forgiven + 1, crashes, unknown, attempts)
  end
end

MEND['pending-without-entry'] = function(address)
  local stream, entry = split(address)
  redis.call('XACK', stream, GROUP, entry)
  redis.call('HDEL', K.attempts, address)
end

MEND['parked-without-entry'] = function(subject)
  local zset, address = subject:match('^(%S+) (.*)$')
  redis.call('ZREM', PARKED[zset], address)
  redis.call('HDEL', K.attempts, address)
end

MEND['stale-records'] = function(address) redis.call('HDEL', K.attempts, address) end

MEND['unique-keys'] = function(key) redis.call('HDEL', K.unique, key) end

MEND['moved-addresses'] = function(id) redis.call('HDEL', K.moved, id) end

MEND['missing-groups'] = function(letter) make_group(letter) end

MEND['leftover-consumers'] = function(consumer) leave(consumer) end

lift()
local name, mended = ARGV[1], {}
for i = 2, #ARGV do
  if FAULT[name](ARGV[i]) then
    MEND[name](ARGV[i])
    mended[#mended + 1] = ARGV[i]
  end
end
return mended
