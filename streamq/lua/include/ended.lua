-- The newest endings, a line a task: "id state started_ms run_ms deliveries task", tab between. A settled group shares one entry.
-- Waiters follow this stream, so that none polls; each entry carries the number of endings up to it, and the oldest go by that.
local function ended(worker, lines, n, history)
  local total = redis.call('HINCRBY', K.stats, 'endings', n)
  redis.call('XADD', K.ended, '*', 'worker', worker, 'total', total, 'tasks', lines)
  for _, old in ipairs(redis.call('XRANGE', K.ended, '-', '+', 'COUNT', 2)) do
    if total - tonumber(old[2][4]) >= history then redis.call('XDEL', K.ended, old[1]) end
  end
end

local function ended_line(id, state, started, run, deliveries, task)
  return table.concat({id, state, started, run, deliveries, (task:gsub('%s', '_'))}, '\t')
end

-- Frees the unique key while it still names this task, and the address of a task that had moved.
local function release_names(id, address, key)
  if key and key ~= '' and redis.call('HGET', K.unique, key) == id then redis.call('HDEL', K.unique, key) end
  if id ~= address then redis.call('HDEL', K.moved, id) end
end
