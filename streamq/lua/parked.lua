-- What waits to be handed out again because it failed, was put off or recovered; not what was handed back before it began.
-- ARGV    most: so many of each zset are told, those that are due first
-- Returns {retrying, {address, due…}}: how many there are, and the first of them
-- @include address
-- @include clock
-- @include record
-- @include parked
-- @include unstarted

local most, now, retrying, again = tonumber(ARGV[1]), clock(), 0, {}

local function look(zset, passed)
  local is_passed = {}
  for _, address in ipairs(passed) do is_passed[address] = true end
  retrying = retrying + redis.call('ZCARD', zset) - #passed
  local first = redis.call('ZRANGE', zset, 0, most + #passed - 1, 'WITHSCORES')
  for i = 1, #first, 2 do
    if not is_passed[first[i]] then
      again[#again + 1] = first[i]
      again[#again + 1] = first[i + 1]
    end
  end
end

for _, letter in ipairs({'h', 'd', 'l'}) do
  look(RETRY[letter], unstarted(RETRY[letter], now))
  look(AGAIN[letter], unstarted(AGAIN[letter], now))
end
for _, letter in ipairs(LETTERS) do look(SUSPECTS[letter], {}) end
return {retrying, again}
