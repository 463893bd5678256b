-- Removes settled entries from a stream. XDEL walks to each of them from the beginning of its node, past all that were deleted there
-- before: a third of what a task costs the server. XTRIM takes the oldest entries away at once, but whichever those are: it is used
-- for the settled ones that are older than all others, where it is certain that there is none among them that is not settled.
local TRIM_FROM = 16  -- entries; to make certain costs as much as to delete some

local PARKED = {
  h = {K['retry:high'], K['suspects:high']},
  d = {K['retry:default'], K['suspects:default']},
  l = {K['retry:low'], K['suspects:low']},
}

-- Whether every entry of a stream is one that waits, one that is pending, or one of `n` that were just acknowledged: none is parked,
-- none was left by somebody who acknowledges what is not his. `lag`, how many wait, is not known to every server, nor at all times.
-- A stranger who deletes one entry in work and acknowledges another deceives the sum: then the other may go.
local function are_all_known(letter, n)
  local parked = PARKED[letter]
  if not parked or redis.call('EXISTS', parked[1], parked[2]) > 0 then return false end
  local groups = redis.pcall('XINFO', 'GROUPS', STREAM[letter])
  for _, group in ipairs(groups.err and {} or groups) do
    local lag = field(group, 'lag')
    if field(group, 'name') == GROUP and lag then
      return redis.call('XLEN', STREAM[letter]) == lag + field(group, 'pending') + n
    end
  end
  return false
end

local function forget(letter, entries)
  local stream, younger = STREAM[letter], entries
  if #entries >= TRIM_FROM and are_all_known(letter, #entries) then
    local oldest = pending_rows(stream, '-', '+', 1)[1]
    younger = {}
    if oldest then
      for _, entry in ipairs(entries) do
        if at_or_below(oldest[1], entry) then younger[#younger + 1] = entry end
      end
    end
    local older = #entries - #younger
    if older > 0 and redis.pcall('XTRIM', stream, 'MAXLEN', redis.call('XLEN', stream) - older) ~= older then younger = entries end
  end
  if #younger > 0 then redis.call('XDEL', stream, unpack(younger)) end
end
