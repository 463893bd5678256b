-- What is known of a task that has been parked or reaped: hand-outs counted, of these forgiven, crashes, since when no worker
-- knew its name (0: one did), and its attempts, a JSON object each. One string a task: "count forgiven crashes unknown\nattempt\n…".
local ATTEMPTS_BYTES = 16384

local function record(address)
  local text = redis.call('HGET', K.attempts, address)
  if not text then return 0, 0, 0, 0, '' end
  local count, forgiven, crashes, unknown, attempts = text:match('^(%d+) (%d+) (%d+) (%d+)(.*)$')
  return tonumber(count), tonumber(forgiven), tonumber(crashes), tonumber(unknown), attempts
end

local function with_attempt(attempts, attempt)
  if attempt == '' then return attempts end
  attempts = attempts .. '\n' .. attempt
  while #attempts > ATTEMPTS_BYTES do
    local rest = attempts:match('^\n[^\n]*(\n.*)$')
    if not rest then break end
    attempts = rest
  end
  return attempts
end

local function remember(address, count, forgiven, crashes, unknown, attempts)
  redis.call('HSET', K.attempts, address, count .. ' ' .. forgiven .. ' ' .. crashes .. ' ' .. unknown .. attempts)
end
