-- Makes every group of the queue that is missing, so that no other script meets a stream that was never read.
-- Returns how many were made.
-- @include address
-- @include group

local made = 0
for _, letter in ipairs(LETTERS) do
  if ensure_group(letter) then made = made + 1 end
end
return made
