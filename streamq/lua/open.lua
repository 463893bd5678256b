-- Makes every group of the queue that is missing, so that no other script meets a stream that was never read.
-- Returns how many were made.
-- @include address
-- @include group

local made = 0
for _, letter in ipairs(LETTERS) do
  local reply = redis.pcall('XGROUP', 'CREATE', STREAM[letter], GROUP, '0', 'MKSTREAM')
  if not reply.err then
    made = made + 1
    redis.call('XGROUP', 'DESTROY', STREAM[letter], GROUP)
    make_group(letter)
  elseif not reply.err:find('BUSYGROUP', 1, true) then
    return reply
  end
end
return made
