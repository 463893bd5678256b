-- The longest lease that is registered: what ran out for it ran out for everybody.
local function longest_lease(lease)
  for _, card in ipairs(redis.call('HVALS', K.fleet)) do
    lease = math.max(lease, tonumber(card:match('^%d+') or 0))
  end
  return lease
end
