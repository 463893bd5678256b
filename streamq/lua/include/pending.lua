-- A pending list as XPENDING tells it; empty where the group is gone. Whatever else is wrong, such as a right that is missing, is
-- raised: taken for an empty list, it would make the tasks that stand in it nobody's.
local function is_missing(reply)
  return reply.err:find('NOGROUP', 1, true) or reply.err:find('UNBLOCKED', 1, true)
end

local function pending_rows(stream, ...)
  local rows = redis.pcall('XPENDING', stream, GROUP, ...)
  if not rows.err then return rows end
  if not is_missing(rows) then error(rows.err) end
  return {}
end
