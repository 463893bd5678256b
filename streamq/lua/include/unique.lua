-- The living task that holds a unique key. Its entry is looked for: whoever deletes a task behind our back must not block its key.
local function holder_of(key)
  local id = redis.call('HGET', K.unique, key)
  return id and fields_of(redis.call('HGET', K.moved, id) or id) and id
end
