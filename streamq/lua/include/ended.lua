-- The newest endings, a line a task: "id state started_ms run_ms deliveries task", tab between. A settled group shares one entry.
-- Waiters follow this stream, so that none polls; each entry carries the number of endings up to it, and the oldest go by that.
local DROP_MOST = 100

-- `endings_oldest` remembers the total of the oldest entry, so that entries of hundreds of lines are read only when one has to go.
local function drop_oldest(total, n, history)
  local oldest = tonumber(redis.call('HGET', K.stats, 'endings_oldest'))
  if oldest and total - oldest < history then return end
  local from, step, most, gone, kept = '-', 2, n + DROP_MOST, {}, false
  repeat
    local entries = redis.call('XRANGE', K.ended, from, '+', 'COUNT', step)
    for _, entry in ipairs(entries) do
      oldest = tonumber(entry[2][4])
      kept = total - oldest < history
      if kept then break end
      gone[#gone + 1], from = entry[1], '(' .. entry[1]
    end
    local is_all = #entries < step
    step = math.min(2 * step, most - #gone)
  until kept or is_all or step < 1
  if #gone > 0 then redis.call('XDEL', K.ended, unpack(gone)) end
  redis.call('HSET', K.stats, 'endings_oldest', oldest or total)
end

local function ended(worker, lines, n, history)
  local total = redis.call('HINCRBY', K.stats, 'endings', n)
  redis.call('XADD', K.ended, '*', 'worker', worker, 'total', total, 'tasks', lines)
  drop_oldest(total, n, history)
end

local function ended_line(id, state, started, run, deliveries, task)
  return table.concat({id, state, started, run, deliveries, (task:gsub('%s', '_'))}, '\t')
end

-- A task that was revived carries its first id in the field `id`. A stranger's entry may carry anything there: only `moved` confirms it.
local function is_id_of(id, address)
  return id and redis.call('HGET', K.moved, id) == address
end

local function id_of(address, fields)
  local id = field(fields, 'id')
  return is_id_of(id, address) and id or address
end

-- Frees the unique key while it still names this task, and the address of a task that had moved.
local function release_names(id, address, key)
  if key and key ~= '' and redis.call('HGET', K.unique, key) == id then redis.call('HDEL', K.unique, key) end
  if id ~= address and is_id_of(id, address) then redis.call('HDEL', K.moved, id) end
end
