-- Renews the lease of all that a consumer holds. The pending list says what that is, so a lost lease is never stolen back.
-- ARGV    consumer
-- Returns {address, count, idle_ms} for each entry held, idle as it was before.
-- @include address
-- @include pending

local consumer, out = ARGV[1], {}
for _, letter in ipairs(LETTERS) do
  local from = '-'
  repeat
    local rows = pending_rows(STREAM[letter], from, '+', 400, consumer)
    local claim, kept = {'XCLAIM', STREAM[letter], GROUP, consumer, 0}, {}
    for i, row in ipairs(rows) do claim[5 + i] = row[1] end
    claim[#claim + 1] = 'JUSTID'
    for _, entry in ipairs(#rows > 0 and redis.call(unpack(claim)) or {}) do kept[entry] = true end
    for _, row in ipairs(rows) do
      if kept[row[1]] then out[#out + 1] = {letter .. row[1], row[4], row[3]}
      else redis.call('HDEL', K.attempts, letter .. row[1]) end  -- deleted behind our back, and now no longer pending
    end
    if #rows > 0 then from = '(' .. rows[#rows][1] end
  until #rows < 400
end
return out
