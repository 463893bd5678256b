-- The fence: an entry belongs to a run only while the pending list names the run's consumer and its delivery count.
-- XACK and XCLAIM never ask; whoever settles, parks, buries or hands on asks here first. No group: nobody holds anything.
-- @include pending
local function pending_of(stream, entry)
  return pending_rows(stream, entry, entry, 1)[1]
end

local function held(address, consumer, count)
  local stream, entry = split(address)
  local row = pending_of(stream, entry)
  return row and row[2] == consumer and row[4] == tonumber(count)
end
