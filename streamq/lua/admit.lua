-- Looks over what a blocked read brought while marks stood or the queue was paused, before any of it starts.
-- ARGV    consumer address…
-- Returns {address, count, forgiven, crashes, unknown, attempts} for each that may start; the others were parked already, and stay so.
-- @include address
-- @include fence
-- @include record
-- @include parked

local consumer, out = ARGV[1], {}
for i = 2, #ARGV do
  local address = ARGV[i]
  local stream, entry, letter = split(address)
  if held(address, consumer, 1) then
    if parked_in(address, letter) then
      redis.call('XACK', stream, GROUP, entry)
    else
      local count, forgiven, crashes, unknown, attempts = record(address)
      count = count + 1
      if count > 1 then redis.call('XCLAIM', stream, GROUP, consumer, 0, entry, 'RETRYCOUNT', count, 'JUSTID') end
      out[#out + 1] = {address, count, forgiven, crashes, unknown, attempts:sub(2)}
    end
  end
end
return out
