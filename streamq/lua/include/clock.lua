-- The server's clock in milliseconds: the only clock that leases, due times and expiry go by.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
