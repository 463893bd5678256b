-- Removes waiting, scheduled and retrying tasks of one stream that were sent before a time, a batch a call; never a running one.
-- ARGV    letter after before_ms batch history by: entries behind `after` ("-": from the first)
-- Returns {purged, last}: last is the entry to go on after, "" at the end.
-- @include address
-- @include clock
-- @include fence
-- @include record
-- @include parked
-- @include minutes
-- @include ended

local letter, batch, history = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5])
local stream = STREAM[letter]
local found = redis.call('XRANGE', stream, ARGV[2], '(' .. ARGV[3] .. '-0', 'COUNT', batch)
if #found == 0 then return {0, ''} end

-- One look at the pending list; where more stands in it than was asked for, each of the rest is looked for by itself.
local rows, is_held = pending_rows(stream, found[1][1], found[#found][1], #found), {}
for _, row in ipairs(rows) do is_held[row[1]] = true end
local is_all = #rows < #found

local entries, addresses, lines, of = {}, {}, {}, {}
for _, each in ipairs(found) do
  local entry, fields = each[1], each[2]
  if not is_held[entry] and (is_all or not pending_of(stream, entry)) then
    local address, priority = letter .. entry, priority_in(letter, fields)
    local id = id_of(address, fields)
    entries[#entries + 1] = entry
    addresses[#addresses + 1] = address
    of[priority] = of[priority] or {}
    table.insert(of[priority], address)
    lines[#lines + 1] = ended_line(id, 'cancelled', 0, 0, 0, field(fields, 'task') or '?')
    release_names(id, address, field(fields, 'key'))
  end
end
if #entries > 0 then
  for priority, parked in pairs(of) do
    for _, zset in ipairs(zsets_of(letter, priority)) do redis.call('ZREM', zset, unpack(parked)) end
  end
  redis.call('XDEL', stream, unpack(entries))
  redis.call('HDEL', K.attempts, unpack(addresses))
  redis.call('HINCRBY', K.stats, 'purged', #entries)
  ended(ARGV[6], table.concat(lines, '\n'), #entries, history)
end
return {#entries, #found == batch and '(' .. found[#found][1] or ''}
