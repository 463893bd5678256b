-- Looks over what a blocked read brought while marks stood or the queue was paused, before any of it starts.
-- ARGV    consumer address…
-- Returns {address, count, forgiven, crashes, unknown, attempts} for each that may start; the others are
--         parked: they were already, and stay so, or are suspects
-- @include address
-- @include clock
-- @include fence
-- @include record
-- @include parked
-- @include admission

local consumer, out = ARGV[1], {}
for i = 2, #ARGV do
  if held(ARGV[i], consumer, 1) then out[#out + 1] = admitted(ARGV[i], consumer) end
end
return out
