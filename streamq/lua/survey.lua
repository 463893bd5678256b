-- Looks over one slice of what a queue holds and tells what is wrong there, as it is at this instant; changes nothing.
-- ARGV    what of from until count
--         what "entries" or "pending": of a stream (of: its letter), behind the entry `from` ("": from the first), to the entry `until`
--         what "parked": a zset (of: its name) · "records" · "keys" · "moved": from a cursor ("": from the first)
--         what "again": whether a fault that was seen (of: its name) still stands (from: its subject)
-- Returns {next, looked, name, subject…}: next is where to go on, "" at the end
-- @include address
-- @include clock
-- @include fence
-- @include record
-- @include parked
-- @include group
-- @include faults

local what, of, from, till, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local out = {'', 0}

local function tell(name, subject)
  if FAULT[name](subject) then
    out[#out + 1] = name
    out[#out + 1] = subject
  end
end

local function go_on(rows)
  out[2] = #rows
  if #rows == count then out[1] = rows[#rows][1] end
end

local LOOK = {}
local after = from == '' and '-' or '(' .. from

-- Which entries of a slice are pending or parked, asked for all at once: of what is left, each is judged by itself.
local function placed(rows)
  local found, addresses = {}, {}
  for i, row in ipairs(rows) do addresses[i] = of .. row[1] end
  for _, row in ipairs(pending_rows(STREAM[of], rows[1][1], rows[#rows][1], #rows)) do found[of .. row[1]] = true end
  for _, priority in ipairs(of == 's' and {'h', 'd', 'l'} or {of}) do
    for _, zset in ipairs(zsets_of(of, priority)) do
      for i, due in ipairs(redis.call('ZMSCORE', zset, unpack(addresses))) do
        if due then found[addresses[i]] = true end
      end
    end
  end
  return found
end

function LOOK.entries()
  local rows = redis.call('XRANGE', STREAM[of], after, till, 'COUNT', count)
  local found = #rows > 0 and placed(rows) or {}
  for _, row in ipairs(rows) do
    local address = of .. row[1]
    if not found[address] then tell('orphaned-entries', address) end
  end
  go_on(rows)
end

function LOOK.pending()
  local rows = pending_rows(STREAM[of], after, till, count)
  for _, row in ipairs(rows) do
    local address = of .. row[1]
    local seen = address .. ' ' .. row[2] .. ' ' .. row[4]
    tell('pending-without-entry', address)
    tell('parked-and-pending', seen)
    tell('counts', seen)
  end
  go_on(rows)
end

-- One step of a scan: a name and its value each.
local cursor = from == '' and '0' or from
local function scanned(reply, step)
  for i = 1, #reply[2], 2 do step(reply[2][i], reply[2][i + 1]) end
  out[1], out[2] = reply[1] == '0' and '' or reply[1], #reply[2] / 2
end

function LOOK.parked()
  scanned(redis.call('ZSCAN', PARKED[of], cursor, 'COUNT', count), function(member)
    if not standing(member) then tell('parked-without-entry', of .. ' ' .. member) end
  end)
end

function LOOK.records()
  scanned(redis.call('HSCAN', K.attempts, cursor, 'COUNT', count), function(address, text)
    if not standing(address) then tell('stale-records', address) end
    if tonumber(text:match('^%d+ %d+ %d+ (%d+)') or 0) > 0 then
      out[#out + 1] = 'unknown-tasks'
      out[#out + 1] = address
    end
  end)
end

function LOOK.keys()
  scanned(redis.call('HSCAN', K.unique, cursor, 'COUNT', count), function(key, id)
    if not standing(redis.call('HGET', K.moved, id) or id) then tell('unique-keys', key) end
  end)
end

function LOOK.moved()
  scanned(redis.call('HSCAN', K.moved, cursor, 'COUNT', count), function(id, address)
    if not is_id_at(id, address) then tell('moved-addresses', id) end
  end)
end

function LOOK.again()
  tell(of, from)
end

LOOK[what]()
return out
