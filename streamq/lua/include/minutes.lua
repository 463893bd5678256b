-- Counters by minute of the server's clock, for rates and percentiles of the last hour. The script that opens a minute drops the
-- ones that are over an hour old: all their names are known, so nothing is scanned.
local MINUTES_KEPT = 60
local BUCKETS = 64

local function drop_minute(minute)
  local names = {minute .. ':since', minute .. ':finished', minute .. ':failed', minute .. ':dead'}
  for i = 0, BUCKETS - 1 do
    names[#names + 1] = minute .. ':w' .. i
    names[#names + 1] = minute .. ':r' .. i
  end
  redis.call('HDEL', K.minutes, unpack(names))
end

local function open_minute(now)
  local minute = math.floor(now / 60000)
  if redis.call('HSETNX', K.minutes, minute .. ':since', now) == 1 then
    local kept = {}
    for old in (redis.call('HGET', K.minutes, 'open') or ''):gmatch('%d+') do
      if tonumber(old) <= minute - MINUTES_KEPT then drop_minute(old) else kept[#kept + 1] = old end
    end
    kept[#kept + 1] = minute
    redis.call('HSET', K.minutes, 'open', table.concat(kept, ' '))
  end
  return minute .. ':'
end

local function tally(minute, name, n)
  redis.call('HINCRBY', K.stats, name, n)
  redis.call('HINCRBY', K.minutes, minute .. name, n)
end
