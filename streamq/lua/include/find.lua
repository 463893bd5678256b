-- A task by its id, or by its present address: where it stands and its fields; nothing where the queue has no such entry, or where
-- the text is no id at all (an error of the server, or the first entry of a millisecond where only that is given).
local function find(id)
  local address = redis.call('HGET', K.moved, id) or id
  if not address:find('^[hdls]%d+%-%d+$') then return nil end
  local stream, entry = split(address)
  local reply = redis.pcall('XRANGE', stream, entry, entry)
  if reply.err then
    if not reply.err:find('Invalid stream ID', 1, true) then error(reply.err) end
    return nil
  end
  local found = reply[1]
  if found and found[1] == entry then return address, found[2] end
end
