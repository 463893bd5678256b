-- A consumer that holds nothing any more leaves the group and the fleet.
-- ARGV    consumer
-- Returns "ok", or "held" when something of it is pending.
-- @include address
-- @include leave

return leave(ARGV[1]) and 'ok' or 'held'
