-- Moves a task that a consumer holds to the dead letters, whole, with why. What replaces the entry stands before the entry goes.
-- ARGV    consumer worker address count reason error traceback attempt failed not_started history task
--         failed "1": an attempt of its own ended so; not_started: how many hand-outs, this one among them, never started: uncounted
-- Returns "ok", or "lost": the fence no longer holds.
-- @include address
-- @include clock
-- @include fence
-- @include refused
-- @include record
-- @include parked
-- @include minutes
-- @include ended

local consumer, worker, address, count, reason = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local failed, not_started, history = ARGV[9] == '1', tonumber(ARGV[10]), tonumber(ARGV[11])
if not held(address, consumer, count) then
  count_refused(1)
  return 'lost'
end

local stream, entry = split(address)
local fields = fields_of(address)
redis.call('XCLAIM', stream, GROUP, consumer, 0, entry, 'JUSTID')  -- as a first write it lifts the check at maxmemory
local _, forgiven, _, _, attempts = record(address)
local deliveries = count - forgiven - not_started
attempts = with_attempt(attempts, ARGV[8])

if fields then
  local id, key = id_of(address, fields), field(fields, 'key')
  if #fields > 1000 then fields = {'entry', cjson.encode(fields)} end  -- more than `unpack` may be trusted with: kept whole, as one
  local dead = redis.call('XADD', K.dead, '*', 'id', id, 'reason', reason, 'error', ARGV[6], 'traceback', ARGV[7],
    'deliveries', deliveries, 'attempts', attempts:sub(2), 'priority', priority_of(address), 'worker', worker, unpack(fields))
  redis.call('HSET', K['dead:ids'], id, dead)
  release_names(id, address, key)
  local now = clock()
  local minute = open_minute(now)
  if failed then tally(minute, 'failed', 1) end
  if reason == 'expired' then
    redis.call('HINCRBY', K.stats, 'expired', 1)
  else
    tally(minute, 'dead', 1)
  end
  ended(worker, ended_line(id, reason == 'expired' and 'expired' or 'dead', 0, 0, deliveries, ARGV[12]), 1, history)
end
redis.call('XACK', stream, GROUP, entry)
redis.call('XDEL', stream, entry)
redis.call('HDEL', K.attempts, address)
return 'ok'
