-- What keeps a queue from being drained, and what does not, at one instant.
-- Returns {waiting, running, retrying, unknown, scheduled_due, scheduled_later, paused}
--         unknown: how many of the retrying wait for a worker that knows them (of the first hundred looked at)
-- @include address
-- @include clock
-- @include pending
-- @include record
-- @include parked

local LOOK_AT = 100
local now, waiting, running, retrying, unknown, due, later = clock(), 0, 0, 0, 0, 0, 0
for _, letter in ipairs(LETTERS) do
  local pending = pending_rows(STREAM[letter])[1] or 0
  running = running + pending
  local parked = redis.call('ZCARD', SUSPECTS[letter])
  retrying = retrying + parked
  if letter ~= 's' then
    local retry = redis.call('ZCARD', RETRY[letter])
    retrying = retrying + retry + redis.call('ZCARD', AGAIN[letter])
    waiting = waiting + redis.call('XLEN', STREAM[letter]) - pending - parked - retry
    due = due + redis.call('ZCOUNT', SCHEDULED[letter], '-inf', now)
    later = later + redis.call('ZCOUNT', SCHEDULED[letter], '(' .. now, '+inf')
  end
end

local looked = 0
for _, zsets in ipairs({RETRY, AGAIN, SUSPECTS}) do
  for _, zset in pairs(zsets) do
    for _, address in ipairs(redis.call('ZRANGE', zset, 0, LOOK_AT - looked - 1)) do
      looked = looked + 1
      if select(4, record(address)) > 0 then unknown = unknown + 1 end
    end
    if looked >= LOOK_AT then break end
  end
  if looked >= LOOK_AT then break end
end
return {waiting, running, retrying, unknown, due, later, redis.call('HEXISTS', K.control, 'paused')}
