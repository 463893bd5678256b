-- Parked is one mechanism for delay, retry, hand-back and recovery: in the stream, in no pending list, in a zset with its due time.
-- A zset belongs to one stream, so that what waits can be counted without a scan; crashed twice, or once before its last
-- delivery, a task is a suspect and runs alone.
local SUSPECT_AFTER = 2
local RETRY = {h = K['retry:high'], d = K['retry:default'], l = K['retry:low']}
local AGAIN = {h = K['again:high'], d = K['again:default'], l = K['again:low']}
local SCHEDULED = {h = K['scheduled:high'], d = K['scheduled:default'], l = K['scheduled:low']}
local SUSPECTS = {h = K['suspects:high'], d = K['suspects:default'], l = K['suspects:low'], s = K['suspects:later']}

-- The priority of an entry of `later` stands in the entry; an entry that says none, or nonsense, is an ordinary one.
local function priority_in(letter, fields)
  if letter ~= 's' then return letter end
  return fields and LETTER[field(fields, 'priority') or 'default'] or 'd'
end

local function priority_of(address)
  local letter = address:sub(1, 1)
  return priority_in(letter, letter == 's' and fields_of(address))
end

local function zsets_of(letter, priority)
  if letter == 's' then return {SCHEDULED[priority], AGAIN[priority], SUSPECTS.s} end
  return {RETRY[letter], SUSPECTS[letter]}
end

local function parked_in(address, priority)
  for _, zset in ipairs(zsets_of(address:sub(1, 1), priority)) do
    local due = redis.call('ZSCORE', zset, address)
    if due then return zset, tonumber(due) end
  end
end

-- The count to park with. A blocked read that passed a mark brings a known task with count 1, and its reader may end before `admit`
-- has looked at it: what is parked stays parked (nil), what ran when its group went has been handed out once more.
local function count_to_park(address, count, known)
  if count > known then return count end
  if not parked_in(address, priority_of(address)) then return known + 1 end
  local stream, entry = split(address)
  redis.call('XACK', stream, GROUP, entry)
end

-- The caller has made a first write that is allowed at maxmemory (XCLAIM JUSTID, XAUTOCLAIM): a full server still drains.
local function park(address, due, count, forgiven, crashes, unknown, attempts, alone)
  local stream, entry, letter = split(address)
  local zset
  if alone or crashes >= SUSPECT_AFTER then zset = SUSPECTS[letter]
  elseif letter == 's' then zset = AGAIN[priority_of(address)]
  else zset = RETRY[letter] end
  redis.call('ZADD', zset, due, address)
  remember(address, count, forgiven, crashes, unknown, attempts)
  redis.call('XACK', stream, GROUP, entry)
end
