-- Finishes a group of tasks: fenced, acknowledged, deleted; then results, history and figures. At most 450 tasks a call.
-- ARGV    consumer worker result_ttl_ms history lines buckets n, then n of: address count,
--         then for those that have more: index id key result ("" none); a result goes to the next key behind the fixed ones
--         lines: the history's line of each task, in the same order; buckets: "w12 3 r0 1 …", how many waits and runs fell in each
-- Returns the addresses that were refused: their fence no longer holds.
-- @include address
-- @include clock
-- @include fence
-- @include refused
-- @include minutes
-- @include ended

local consumer, worker, ttl, history, lines, n = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[7])
local FIRST = 8
local by_letter, refused, is_refused, done = {}, {}, {}, 0

for i = 1, n do
  local letter = ARGV[FIRST + 2 * (i - 1)]:sub(1, 1)
  local of = by_letter[letter]
  if not of then
    of = {}
    by_letter[letter] = of
  end
  of[#of + 1] = i
end

-- The fence of a whole group is one XPENDING of the consumer's range; what lies outside it, and a few at a time, are asked for by
-- themselves: the range of a consumer that holds a hundred is dearer than they are.
local RANGE_FROM = 16
for letter, of in pairs(by_letter) do
  local stream, counts, entries, addresses = STREAM[letter], {}, {}, {}
  local rows = #of < RANGE_FROM and {} or pending_rows(stream, '-', '+', 2 * #of + 64, consumer)
  for _, row in ipairs(rows) do counts[row[1]] = row[4] end
  for _, i in ipairs(of) do
    local address, count = ARGV[FIRST + 2 * (i - 1)], tonumber(ARGV[FIRST + 2 * (i - 1) + 1])
    local entry = address:sub(2)
    if counts[entry] == count or not counts[entry] and held(address, consumer, count) then
      entries[#entries + 1] = entry
      addresses[#addresses + 1] = address
    else
      refused[#refused + 1] = address
      is_refused[i] = true
    end
  end
  if #entries > 0 then
    redis.call('XACK', stream, GROUP, unpack(entries))
    redis.call('XDEL', stream, unpack(entries))
    if redis.call('EXISTS', K.attempts) == 1 then redis.call('HDEL', K.attempts, unpack(addresses)) end
    done = done + #entries
  end
end

local result_key = FIXED_KEYS
for j = FIRST + 2 * n, #ARGV, 4 do
  local i, id, key, result = tonumber(ARGV[j]), ARGV[j + 1], ARGV[j + 2], ARGV[j + 3]
  if result ~= '' then result_key = result_key + 1 end
  if not is_refused[i] then
    release_names(id, ARGV[FIRST + 2 * (i - 1)], key)
    if result ~= '' then redis.call('SET', KEYS[result_key], result, 'PX', ttl) end
  end
end

if #refused > 0 then
  count_refused(#refused)
  local kept, i = {}, 0
  for line in lines:gmatch('[^\n]+') do
    i = i + 1
    if not is_refused[i] then kept[#kept + 1] = line end
  end
  lines = table.concat(kept, '\n')
end
if done > 0 then
  local minute = open_minute(clock())
  tally(minute, 'finished', done)
  for name, count in ARGV[6]:gmatch('(%w+) (%d+)') do redis.call('HINCRBY', K.minutes, minute .. name, count) end
  ended(worker, lines, done, history)
end
return refused
