-- Hands out one suspect, a task that has crashed twice, to a consumer that runs nothing else.
-- ARGV    consumer ("" only asks)
-- Returns {task or false, due, next_due}: the task as take gives it, how many suspects are due, when the next one is (0: none)
-- @include address
-- @include clock
-- @include fence
-- @include record
-- @include parked
-- @include group
-- @include handout
-- @include silence

local consumer, now, due, next_due, task = ARGV[1], clock(), 0, 0, false
local marks, paused = marks_standing()
local silent = is_silent(consumer, now)
for _, letter in ipairs(LETTERS) do
  if not marks[letter] and not paused then
    local zset = SUSPECTS[letter]
    if consumer ~= '' and not silent and not task then
      local address = redis.call('ZRANGEBYSCORE', zset, '-inf', now, 'LIMIT', 0, 1)[1]
      if address then task = hand_out(zset, address, consumer) or false end
    end
    due = due + redis.call('ZCOUNT', zset, '-inf', now)
    local first = tonumber(redis.call('ZRANGE', zset, 0, 0, 'WITHSCORES')[2] or 0)
    if first > 0 and (next_due == 0 or first < next_due) then next_due = first end
  end
end
return {task, due, next_due}
