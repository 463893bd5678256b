-- A producer's lane: of its last send the server keeps the number, when that was, and the ids. The same number again gets these ids
-- and adds nothing; a number below it is an error, never ids. And the room that there is for what is sent.
-- ARGV    lane number bound …
-- @include clock
local lane, number, bound = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local last = redis.call('HGET', K.producers, lane)
if last then
  local seen = tonumber(last:match('^%d+'))
  if number == seen then return 'again ' .. last:match('^%d+ %d+ (.*)$') end
  if number < seen then return redis.error_reply('STALE lane ' .. lane .. ' is at ' .. seen) end
end

local room = math.huge
if bound > 0 then
  local high, default = redis.call('XLEN', K.high), redis.call('XLEN', K.default)
  local low, later = redis.call('XLEN', K.low), redis.call('XLEN', K.later)
  room = bound - high - default - low - later
end

local function accepted(ids)
  redis.call('HSET', K.producers, lane, ARGV[2] .. ' ' .. clock() .. ' ' .. ids)
  return ids
end
