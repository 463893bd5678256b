-- Throws a dead letter away, by order of a person.
-- ARGV    id
-- Returns "ok" or "unknown".
local dead = redis.call('HGET', K['dead:ids'], ARGV[1])
if not dead then return 'unknown' end
redis.call('XDEL', K.dead, dead)
redis.call('HDEL', K['dead:ids'], ARGV[1])
return 'ok'
