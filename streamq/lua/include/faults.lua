-- What can be wrong with one thing that a queue holds, by the name that `doctor` has for it. Whoever mends asks the same as whoever
-- looks, in the script that mends. A subject is an address, a zset and an address, a consumer, a unique key, or a first id.
local PARKED = {['suspects:later'] = SUSPECTS.s}
for name, letter in pairs({high = 'h', default = 'd', low = 'l'}) do
  PARKED['retry:' .. name], PARKED['again:' .. name] = RETRY[letter], AGAIN[letter]
  PARKED['scheduled:' .. name], PARKED['suspects:' .. name] = SCHEDULED[letter], SUSPECTS[letter]
end

-- The fields of the entry at an address; nothing where there is none, or where the text is no address at all.
local function standing(address)
  if not address:find('^[hdls]%d+%-%d+$') then return nil end
  local stream, entry = split(address)
  local reply = redis.pcall('XRANGE', stream, entry, entry)
  if reply.err and not reply.err:find('Invalid stream ID', 1, true) then error(reply.err) end
  return reply[1] and reply[1][1] == entry and reply[1][2] or nil
end

-- A parked entry may stand in any zset of its stream; of `later`, in those of any priority.
local function is_parked(address)
  local letter = address:sub(1, 1)
  for _, priority in ipairs(letter == 's' and {'h', 'd', 'l'} or {letter}) do
    if parked_in(address, priority) then return true end
  end
  return false
end

-- The last entry that a group was given; nothing where there is no such group, which will be made from the first one.
local last_of = {}
local function last_delivered(letter)
  if last_of[letter] == nil then
    last_of[letter] = false
    local groups = redis.pcall('XINFO', 'GROUPS', STREAM[letter])
    for _, group in ipairs(groups.err and {} or groups) do
      local told = {}
      for i = 1, #group, 2 do told[group[i]] = group[i + 1] end
      if told.name == GROUP then last_of[letter] = told['last-delivered-id'] end
    end
  end
  return last_of[letter]
end

-- Nobody will ever bring an entry that was delivered before and is in no pending list and not parked. `later` is not delivered at
-- all: what is not parked there is forgotten, but for the time in which a group that was made anew has it read.
local function is_passed(address)
  local entry, letter = address:sub(2), address:sub(1, 1)
  local last = last_delivered(letter)
  if not last then return false end
  if letter == 's' then return redis.call('HEXISTS', K.control, 's') == 0 end
  return at_or_below(entry, last)
end

local function row_of(address)
  local stream, entry = split(address)
  return pending_of(stream, entry)
end

local function is_as_seen(subject)
  local address, consumer, count = subject:match('^(%S+) (%S+) (%d+)$')
  local row = address and row_of(address)
  return row and row[2] == consumer and row[4] == tonumber(count) and address, row
end

local FAULT = {}

FAULT['orphaned-entries'] = function(address)
  return is_passed(address) and not row_of(address) and not is_parked(address) and standing(address)
end

FAULT['pending-without-entry'] = function(address)
  return row_of(address) and not standing(address)
end

FAULT['parked-without-entry'] = function(subject)
  local zset, address = subject:match('^(%S+) (.*)$')
  return redis.call('ZSCORE', PARKED[zset], address) and not standing(address)
end

FAULT['parked-and-pending'] = function(subject)
  local address = is_as_seen(subject)
  return address and is_parked(address)
end

-- A hand-out raises the count that was noted when its task was parked.
FAULT['counts'] = function(subject)
  local address, row = is_as_seen(subject)
  return address and row[4] <= record(address) and not is_parked(address)
end

FAULT['stale-records'] = function(address)
  return redis.call('HEXISTS', K.attempts, address) == 1 and not standing(address)
end

FAULT['unique-keys'] = function(key)
  local id = redis.call('HGET', K.unique, key)
  return id and not standing(redis.call('HGET', K.moved, id) or id)
end

local function is_id_at(id, address)
  local fields = standing(address)
  return fields and field(fields, 'id') == id
end

FAULT['moved-addresses'] = function(id)
  local address = redis.call('HGET', K.moved, id)
  return address and not is_id_at(id, address)
end

FAULT['missing-groups'] = function(letter)
  local reply = redis.pcall('XPENDING', STREAM[letter], GROUP, '-', '+', 1)
  return reply.err and is_missing(reply)
end

-- The reaper's own consumer holds nothing and stays. A worker beats before it takes, so its consumers are known to the fleet.
local function is_stranger(consumer)
  return consumer ~= '~reap' and redis.call('HEXISTS', K.fleet, consumer) == 0 and not redis.call('ZSCORE', K.workers, consumer)
end

local function pending_with(consumer)
  for _, letter in ipairs(LETTERS) do
    if pending_rows(STREAM[letter], '-', '+', 1, consumer)[1] then return true end
  end
  return false
end

FAULT['leftover-consumers'] = function(consumer)
  return is_stranger(consumer) and not pending_with(consumer)
end

FAULT['foreign-consumers'] = function(consumer)
  return is_stranger(consumer) and pending_with(consumer)
end
