-- At maxmemory a script is refused by its first write alone, and deleting nothing is one that is allowed: what a full server must go
-- on doing (make a group, beat, count what was refused, obey a person who empties the queue) begins with it.
local function lift()
  redis.call('HDEL', K.control, '')
end
