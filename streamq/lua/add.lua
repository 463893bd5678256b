-- Accepts tasks: bounded, unique where asked, idempotent per producer.
-- ARGV    lane number bound, then tasks, together where they differ in one value alone: many head n field value … field, then
--         that value of each (n strings, of which the last is the name of what differs, then many values)
--         head is the letter of a priority, or "letter;due;expires;u": due and expires are "", "+ms" from now or "@ms" absolute;
--         u says that the field `key` must be free
-- Returns what was accepted, in the order sent: ids as ranges "<letter><ms>-<seq>+<more>"; "=<id>" is the task that holds the key
--         already. Fewer ids than tasks: the queue is full. "again" stands before them where they are kept ones.
-- @include lane

local VALUES_MOST = 1000  -- so that `unpack` can pass them on
local STREAMS = {h = K.high, d = K.default, l = K.low}

-- What adds a task that asks for more than a plain XADD: reads its head, adds it, returns its letter and entry id, or the key's
-- holder, or nothing where the queue is full: joining a task needs no room. To make all this costs more than a plain task does.
local function specials()
-- @include address
-- @include unique
  local now = clock()
  local SCHEDULED = {h = K['scheduled:high'], d = K['scheduled:default'], l = K['scheduled:low']}

  local function absolute(time)
    if time == '' then return nil end
    local ms = tonumber(time:sub(2))
    return time:sub(1, 1) == '+' and now + ms or ms
  end

  return function(head, fields, full)
    local letter, due, expires, unique = head:match('^(.);([^;]*);([^;]*);(u?)$')
    due, expires = absolute(due), absolute(expires)
    local entry = {}
    if due and due > now then
      entry = {'priority', letter, 'due', due}
    end
    for _, value in ipairs(fields) do entry[#entry + 1] = value end
    if expires then
      entry[#entry + 1] = 'expires'
      entry[#entry + 1] = expires
    end
    local key = unique == 'u' and field(entry, 'key')
    local holder = key and holder_of(key)
    if holder then return nil, holder end
    if full then return end
    local to = due and due > now and 's' or letter
    local id = redis.pcall('XADD', STREAM[to], '*', unpack(entry))
    if type(id) == 'table' then return nil, id end
    if to == 's' then redis.call('ZADD', SCHEDULED[letter], due, 's' .. id) end
    if key then redis.call('HSET', K.unique, key, to .. id) end
    return to, id
  end
end

local out, letter, ids, count = {}, nil, {}, 0

local function note(from, to)
  out[#out + 1] = letter .. ids[from] .. '+' .. to - from
end

-- Nobody else adds while a script runs: entries of one stream and millisecond have numbers without a gap.
local function close_range()
  if count == 0 then return end
  local from, ms = 1, count > 1 and ids[1]:match('^%d+')
  if count > 1 and ids[count]:match('^%d+') ~= ms then
    for i = 2, count do
      local at = ids[i]:match('^%d+')
      if at ~= ms then
        note(from, i - 1)
        from, ms = i, at
      end
    end
  end
  note(from, count)
  count = 0
end

local i, add_special, refused = 4, nil, false
while i <= #ARGV and not refused do
  local many, head, n = tonumber(ARGV[i]), ARGV[i + 1], tonumber(ARGV[i + 2])
  local fields = n < VALUES_MOST and {unpack(ARGV, i + 3, i + 2 + n)}
  i = i + 3 + n
  if #head > 1 then add_special = add_special or specials() end
  for j = i, i + many - 1 do
    local to, id = head, nil
    if not fields then
      id = redis.error_reply('ERR a task may have ' .. VALUES_MOST / 2 .. ' fields at most, this one has ' .. (n + 1) / 2)
    else
      fields[n + 1] = ARGV[j]
      if #head > 1 then to, id = add_special(head, fields, room <= 0)
      elseif room > 0 then id = redis.pcall('XADD', STREAMS[head], '*', unpack(fields)) end
    end
    if type(id) ~= 'string' then  -- no room, or refused by the server, which says so at the first write or not at all
      refused = id or true
      break
    elseif to then
      if to ~= letter then
        close_range()
        letter = to
      end
      count = count + 1
      ids[count] = id
      room = room - 1
    else
      close_range()
      out[#out + 1] = '=' .. id
    end
  end
  i = i + many
end
close_range()
if #out == 0 and type(refused) == 'table' then  -- without where it was refused, as 6.2 has it
  return redis.error_reply((refused.err:gsub('^@user_script: ?%d+: %-?', '')))
end

return accepted(table.concat(out, ' '))
