-- Renews the lease of all that a consumer holds. The pending list says what that is, so a lost lease is never stolen back.
-- ARGV    consumer
-- Returns {address, count, idle_ms} for each entry held, idle as it was before.
-- @include address

local consumer, out = ARGV[1], {}
for _, letter in ipairs(LETTERS) do
  local from = '-'
  repeat
    local rows = redis.pcall('XPENDING', STREAM[letter], GROUP, from, '+', 400, consumer)
    if rows.err then break end
    local claim = {'XCLAIM', STREAM[letter], GROUP, consumer, 0}
    for _, row in ipairs(rows) do
      claim[#claim + 1] = row[1]
      out[#out + 1] = {letter .. row[1], row[4], row[3]}
      from = '(' .. row[1]
    end
    claim[#claim + 1] = 'JUSTID'
    if #rows > 0 then redis.call(unpack(claim)) end
  until #rows < 400
end
return out
