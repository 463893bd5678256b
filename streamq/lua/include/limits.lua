-- The limits that tasks set themselves, as their workers knew them: what is shown of a task after its last worker has gone.
-- `card` is "<lease_ms> <json>"; what is none, such as another program's, tells nothing.
local function remember_limits(card)
  local is_card, told = pcall(cjson.decode, card:match('^%d+ (.*)$') or '')
  if not is_card or type(told) ~= 'table' or type(told.tasks) ~= 'table' then return end
  local limits = type(told.limits) == 'table' and told.limits or {}
  for _, task in ipairs(told.tasks) do
    if type(limits[task]) == 'number' then redis.call('HSET', K.limits, task, limits[task])
    else redis.call('HDEL', K.limits, task) end
  end
end
