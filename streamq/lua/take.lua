-- Hands out tasks to a consumer: due ones, then new ones, priority by priority in the order given.
-- ARGV    consumer want due_first order: at most `due_first` due tasks stand ahead of the new ones of a priority
-- Returns {state, now, parked, fresh, next_due}
--         state "ok", "paused", "silent" (its heartbeat has expired), or "more" (another call will bring what was passed over)
--         parked {address, count, forgiven, crashes, unknown, fields, attempts} each · fresh {letter, entries} each: count 1, nothing known
--         next_due in ms of the server's clock, where nothing was handed out and something is parked, else 0
-- @include address
-- @include clock
-- @include fence
-- @include record
-- @include parked
-- @include group
-- @include handout
-- @include admission
-- @include silence

local consumer, want, due_first = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local now, state, got, parked, fresh = clock(), 'ok', 0, {}, {}
local marks, paused = marks_standing()
if paused then return {'paused', now, parked, fresh, 0} end
if is_silent(consumer, now) then return {'silent', now, parked, fresh, 0} end

local function read(letter, n)
  local reply = redis.pcall('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', n, 'STREAMS', STREAM[letter], '>')
  if reply and reply.err then
    if not is_missing(reply) then error(reply.err) end
    marks[letter] = make_group(letter)
    reply = redis.call('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', n, 'STREAMS', STREAM[letter], '>')
  end
  return reply and reply[1] and reply[1][2] or {}
end

-- While a mark stands nothing of its stream is claimed: `>` would bring the entry again and take it from its holder.
local function claim_due(address, zset)
  local task, mark = hand_out(zset, address, consumer)
  if mark then
    marks[address:sub(1, 1)], state = mark, 'more'
  elseif task then
    parked[#parked + 1] = task
    got = got + 1
  end
end

-- Who was due first comes first, so that neither a flood of retries nor one of scheduled tasks keeps the others waiting.
-- Returns whether no more are due.
local function take_due(letter, most)
  local top, due, is_all = math.min(want, got + most), {}, true
  for _, of in ipairs({{RETRY[letter], letter}, {AGAIN[letter], 's'}, {SCHEDULED[letter], 's'}}) do
    local room = marks[of[2]] and 0 or top - got
    local found = room > 0 and redis.call('ZRANGEBYSCORE', of[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, room) or {}
    for i = 1, #found, 2 do due[#due + 1] = {found[i], of[1], tonumber(found[i + 1])} end
    is_all = is_all and #found < 2 * room
  end
  table.sort(due, function(a, b) return a[3] < b[3] end)
  for _, task in ipairs(due) do
    if got >= top then return false end
    if not marks[task[1]:sub(1, 1)] then claim_due(task[1], task[2]) end
  end
  return is_all
end

local function admit(letter, entries)
  local skipped = false
  for _, entry in ipairs(entries) do
    local address = letter .. entry[1]
    local task = {address, 1, 0, 0, 0, ''}
    if at_or_below(entry[1], marks[letter]) then task = admitted(address, consumer) end
    if task then
      table.insert(task, 6, entry[2])
      parked[#parked + 1] = task
      got = got + 1
    else
      skipped = true
    end
  end
  return skipped
end

local function take_new(letter)
  for _ = 1, 10 do
    if got >= want then return end
    local entries, skipped = read(letter, want - got), false
    if marks[letter] then
      skipped = admit(letter, entries)
      if #entries == 0 or at_or_below(marks[letter], entries[#entries][1]) then
        redis.call('HDEL', K.control, letter)
        marks[letter], state = false, 'more'
      end
    elseif #entries > 0 then
      fresh[#fresh + 1] = {letter, entries}
      got = got + #entries
    end
    if not skipped then return end
    state = 'more'
  end
end

-- Nobody reads `later`. While its mark stands, take does, and parks again what is in no zset.
local function rebuild_later()
  local entries = read('s', 100)
  for _, entry in ipairs(entries) do
    local address = 's' .. entry[1]
    local priority = LETTER[field(entry[2], 'priority') or 'default'] or 'd'
    if not parked_in(address, priority) then
      local crashes = select(3, record(address))
      if crashes >= SUSPECT_AFTER then redis.call('ZADD', SUSPECTS.s, now, address)
      elseif redis.call('HEXISTS', K.attempts, address) == 1 then redis.call('ZADD', AGAIN[priority], now, address)
      else
        local due = (field(entry[2], 'due') or ''):match('^%d+$')  -- anybody may have written the entry
        redis.call('ZADD', SCHEDULED[priority], due or now, address)
      end
    end
    redis.call('XACK', STREAM.s, GROUP, entry[1])
  end
  if #entries == 0 or at_or_below(marks.s, entries[#entries][1]) then
    redis.call('HDEL', K.control, 's')
    marks.s = false
  end
  state = 'more'
end

if marks.s then rebuild_later() end
for letter in ARGV[4]:gmatch('.') do
  if got >= want then break end
  local is_all = take_due(letter, due_first)
  take_new(letter)
  if not is_all then take_due(letter, want) end
end

local next_due = 0
if got == 0 and state == 'ok' then
  for _, zsets in ipairs({RETRY, AGAIN, SCHEDULED}) do
    for _, zset in pairs(zsets) do
      local first = redis.call('ZRANGE', zset, 0, 0, 'WITHSCORES')[2]
      if first and (next_due == 0 or tonumber(first) < next_due) then next_due = tonumber(first) end
    end
  end
end
return {state, now, parked, fresh, next_due}
