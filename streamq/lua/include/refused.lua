-- Counts the calls whose fence no longer held. Nothing may have been written before.
-- @include lift
local function count_refused(n)
  lift()
  redis.call('HINCRBY', K.stats, 'fenced', n)
end
