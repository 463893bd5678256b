-- What was handed back before it began has used no delivery: it waits, as what nobody has had yet does, though it is parked. It is due
-- at once, so it stands among what is due of its zset; beyond so much of that it is not looked for.
local UNSTARTED_LOOK = 500

local function unstarted(zset, now)
  local due, found = redis.call('ZRANGE', zset, '-inf', now, 'BYSCORE', 'LIMIT', 0, UNSTARTED_LOOK), {}
  for i, text in ipairs(#due > 0 and redis.call('HMGET', K.attempts, unpack(due)) or {}) do
    local count, forgiven, unknown = (text or '0 0 0 0'):match('^(%d+) (%d+) %d+ (%d+)')
    if count == forgiven and unknown == '0' then found[#found + 1] = due[i] end
  end
  return found
end
