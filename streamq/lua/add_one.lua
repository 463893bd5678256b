-- Accepts one task that asks for no more than an XADD: `add.lua` without all that only others need, for it is called once a task.
-- ARGV    lane number bound, letter of the priority, field value …
-- Returns as `add.lua`
-- @include lane

local letter, id = ARGV[4], ''
if room > 0 then
  local stream = letter == 'd' and K.default or letter == 'h' and K.high or K.low
  id = letter .. redis.call('XADD', stream, '*', unpack(ARGV, 5)) .. '+0'
end
return accepted(id)
