-- The figures of a queue, all read at one instant; nothing is scanned.
-- ARGV    minutes: how many minutes back the figures by minute are wanted for
-- Returns {now, {xlen, pending, entries_added or -1} by stream h d l s, {zcard by zset}, dead, stats, minutes, workers, fleet, seen, held, paused,
--         {unstarted by zset}}
--         zsets: retry h d l, again h d l (of these the unstarted are told), scheduled h d l, suspects h d l s
--         stats, minutes and what follows them are flat pairs:
--         workers consumer → heartbeat expiry, seen consumer → last beat, held consumer → pending entries in one stream
-- @include address
-- @include clock
-- @include pending
-- @include record
-- @include parked
-- @include unstarted

local now = clock()
local streams, zsets, held, back = {}, {}, {}, {}
for _, letter in ipairs(LETTERS) do
  local pending = pending_rows(STREAM[letter])
  local info, added = redis.pcall('XINFO', 'STREAM', STREAM[letter]), -1
  if not info.err then
    for i = 1, #info, 2 do
      if info[i] == 'entries-added' then added = info[i + 1] end
    end
  elseif info.err:find('no such key', 1, true) then
    added = 0
  end
  streams[#streams + 1] = {redis.call('XLEN', STREAM[letter]), pending[1] or 0, added}
  for _, row in ipairs(pending[4] or {}) do
    held[#held + 1] = row[1]
    held[#held + 1] = row[2]
  end
end
for _, of in ipairs({RETRY, AGAIN, SCHEDULED}) do
  for _, letter in ipairs({'h', 'd', 'l'}) do zsets[#zsets + 1] = redis.call('ZCARD', of[letter]) end
end
for _, of in ipairs({RETRY, AGAIN}) do
  for _, letter in ipairs({'h', 'd', 'l'}) do back[#back + 1] = #unstarted(of[letter], now) end
end
for _, letter in ipairs(LETTERS) do zsets[#zsets + 1] = redis.call('ZCARD', SUSPECTS[letter]) end

local fleet, seen = redis.call('HGETALL', K.fleet), {}
for i = 1, #fleet, 2 do
  seen[#seen + 1] = fleet[i]
  seen[#seen + 1] = (redis.call('HGET', K.running, fleet[i]) or ''):match('^%d*')
end

local minute, minutes = math.floor(now / 60000), {}
for back = 0, tonumber(ARGV[1]) - 1 do
  local at, names = minute - back, {'since', 'finished', 'failed', 'dead'}
  for i = 0, 63 do
    names[#names + 1] = 'w' .. i
    names[#names + 1] = 'r' .. i
  end
  local fields = {}
  for i, name in ipairs(names) do fields[i] = at .. ':' .. name end
  local values = redis.call('HMGET', K.minutes, unpack(fields))
  for i, value in ipairs(values) do
    if value then
      minutes[#minutes + 1] = fields[i]
      minutes[#minutes + 1] = value
    end
  end
end
return {
  now, streams, zsets, redis.call('XLEN', K.dead), redis.call('HGETALL', K.stats), minutes,
  redis.call('ZRANGE', K.workers, 0, -1, 'WITHSCORES'), fleet, seen, held, redis.call('HEXISTS', K.control, 'paused'), back,
}
