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
local stream, lines = STREAM[letter], {}
local entries = redis.call('XRANGE', stream, ARGV[2], '(' .. ARGV[3] .. '-0', 'COUNT', batch)
for _, found in ipairs(entries) do
  local entry, fields = found[1], found[2]
  if not pending_of(stream, entry) then
    local address = letter .. entry
    local id = id_of(address, fields)
    for _, zset in ipairs(zsets_of(letter, priority_of(address))) do redis.call('ZREM', zset, address) end
    redis.call('XDEL', stream, entry)
    redis.call('HDEL', K.attempts, address)
    release_names(id, address, field(fields, 'key'))
    lines[#lines + 1] = ended_line(id, 'cancelled', 0, 0, 0, field(fields, 'task') or '?')
  end
end
if #lines > 0 then
  redis.call('HINCRBY', K.stats, 'purged', #lines)
  ended(ARGV[6], table.concat(lines, '\n'), #lines, history)
end
return {#lines, #entries == batch and '(' .. entries[#entries][1] or ''}
