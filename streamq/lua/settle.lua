-- Finishes a group of tasks: fenced, acknowledged, deleted; then results, history and figures. At most 450 tasks a call.
-- ARGV    consumer worker result_ttl_ms history lines buckets addresses counts, then for those that have more:
--         index id key result ("" none); a result goes to the next key behind the fixed ones
--         addresses and counts: the fences, blanks between; no counts where all are 1
--         lines: the history's line of each task, in the same order; buckets: "w12 3 r0 1 …", how many waits and runs fell in each
-- Returns the addresses that were refused: their fence no longer holds.
-- @include address
-- @include clock
-- @include fence
-- @include forget
-- @include refused
-- @include minutes
-- @include ended

local consumer, worker, ttl, history, lines = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local letters, ids, counts, by_letter, n = {}, {}, {}, {}, 0
local refused, is_refused, done = {}, {}, 0

for letter, id in ARGV[7]:gmatch('(%a)(%S+)') do
  n = n + 1
  letters[n], ids[n] = letter, id
  local of = by_letter[letter]
  if not of then
    of = {}
    by_letter[letter] = of
  end
  of[#of + 1] = n
end
for count in ARGV[8]:gmatch('%d+') do counts[#counts + 1] = tonumber(count) end

-- The fence of a whole group is one XPENDING of what the consumer holds of the milliseconds between its first id and its last; what
-- that does not tell, and a few at a time, are asked for by themselves: the range of a consumer that holds a hundred is dearer.
local RANGE_FROM = 16
local function pending_between(stream, of)
  local first, last, pending = ids[of[1]], ids[of[1]], {}
  for _, i in ipairs(of) do
    if ids[i] < first then first = ids[i] elseif ids[i] > last then last = ids[i] end
  end
  for _, row in ipairs(pending_rows(stream, first:match('^%d+'), last:match('^%d+'), 2 * #of + 64, consumer)) do
    pending[row[1]] = row[4]
  end
  return pending
end

for letter, of in pairs(by_letter) do
  local stream, entries = STREAM[letter], {}
  local pending = #of < RANGE_FROM and {} or pending_between(stream, of)
  for _, i in ipairs(of) do
    local id, count = ids[i], counts[i] or 1
    if pending[id] == count or not pending[id] and held(letter .. id, consumer, count) then
      entries[#entries + 1] = id
    else
      refused[#refused + 1] = letter .. id
      is_refused[i] = true
    end
  end
  if #entries > 0 then
    redis.call('XACK', stream, GROUP, unpack(entries))
    forget(letter, entries)
    if redis.call('EXISTS', K.attempts) == 1 then
      for i, id in ipairs(entries) do entries[i] = letter .. id end
      redis.call('HDEL', K.attempts, unpack(entries))
    end
    done = done + #entries
  end
end

local result_key = FIXED_KEYS
for j = 9, #ARGV, 4 do
  local i, id, key, result = tonumber(ARGV[j]), ARGV[j + 1], ARGV[j + 2], ARGV[j + 3]
  if result ~= '' then result_key = result_key + 1 end
  if not is_refused[i] then
    release_names(id, letters[i] .. ids[i], key)
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
