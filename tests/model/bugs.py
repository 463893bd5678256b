"""Bugs to plant into the scripts: what is wrong, and the text that is replaced in every script that has it."""

from __future__ import annotations

from tests.model.clock import Edit

BUGS: dict[str, list[Edit]] = {
    # Fences
    "nothing is fenced": [("return row and row[2] == consumer and row[4] == tonumber(count)", "return row")],
    "the fence does not compare the count": [("row[4] == tonumber(count)", "true")],
    "the fence does not compare the consumer": [("row[2] == consumer and", "")],
    "settle does not compare the count": [
        ("local RANGE_FROM = 16", "local RANGE_FROM = 1"),
        ("pending[id] == count or", "pending[id] or"),
    ],
    "claim does not ask for the fence": [
        (
            "if held(address, consumer, count) then\n    local stream, entry, letter",
            "if true then\n    local stream, entry, letter",
        )
    ],
    "a group that is gone is an error": [
        ("redis.pcall('XPENDING', stream, GROUP, ...)", "redis.call('XPENDING', stream, GROUP, ...)")
    ],
    # Groups that were made anew
    "due tasks are claimed while a mark stands": [
        ("marks[of[2]] and 0 or top - got", "top - got"),
        ("if not marks[task[1]:sub(1, 1)] then claim_due", "if true then claim_due"),
    ],
    "the count is not restored": [("\n  count = count + 1\n", "\n  count = 1\n")],
    "parked is not checked below the mark": [
        ("if parked_in(address, letter) then\n    redis.call('XACK'", "if false then\n    redis.call('XACK'")
    ],
    "later is not rebuilt": [("if marks.s then rebuild_later() end", "marks.s = false")],
    "the mark goes with the first read": [
        ("if #entries == 0 or at_or_below(marks[letter], entries[#entries][1]) then", "if true then")
    ],
    "a group is made from $": [("GROUP, '0', 'MKSTREAM'", "GROUP, '$', 'MKSTREAM'")],
    "a sweep does not make missing groups": [("for _, letter in ipairs(LETTERS) do ensure_group(letter) end\nif", "if")],
    "a stray is forgotten when it is due": [
        ("redis.call('ZADD', zset, clock() + LOOK_AGAIN, address)", "redis.call('ZREM', zset, address)")
    ],
    "a stray that is handed back loses its count": [("if count > known then return count end", "if true then return count end")],
    # Counts
    "reap forgets the count": [("local count = count_to_park(address, row[4], known)", "local count = known")],
    "reap does not count the crash": [("crashes = crashes + 1", "")],
    "reap forgives what had started": [("if crashed then\n", "if false then\n")],
    "a hand-out is not counted": [("'RETRYCOUNT', count + 1, 'FORCE'", "'RETRYCOUNT', count, 'FORCE'")],
    "a renewal counts as a delivery": [("claim[#claim + 1] = 'JUSTID'", "")],
    "forgiven is overwritten": [("forgiven = forgiven + 1 end", "forgiven = 1 end")],
    "a dead letter counts what never started": [("count - forgiven - not_started", "count - forgiven")],
    # Sending
    "a repeated number is accepted": [("if number == seen then return 'again ' .. last:match('^%d+ %d+ (.*)$') end", "")],
    "a stale number is accepted": [("if number < seen then", "if false then")],
    "a lane is forgotten at once": [("local LANE_KEPT = 3600000", "local LANE_KEPT = -1")],
    "the bound is off by one": [("room = bound - high", "room = bound + 1 - high")],
    "the bound does not count what was sent with a delay": [("low - later", "low")],
    "a unique key is taken twice": [("if holder then return nil, holder end", "")],
    "a delay is forgotten": [("local to = due and due > now and 's' or letter", "local to = letter")],
    # Handing out
    "what is not due is handed out": [
        ("redis.call('ZRANGEBYSCORE', of[1], '-inf', now,", "redis.call('ZRANGEBYSCORE', of[1], '-inf', '+inf',")
    ],
    "what was handed out stays parked": [("redis.call('ZREM', zset, address)\n  if reply[1]", "if reply[1]")],
    "a pause stops nothing": [("if paused then return {'paused', now, parked, fresh, 0} end", "")],
    "a pause does not stop the quarantine": [("and not paused then", "then")],
    # Suspects
    "suspects wait among the others": [("if alone or crashes >= SUSPECT_AFTER then zset = SUSPECTS[letter]\n  else", "")],
    "a suspect is admitted beside others": [("if crashes >= SUSPECT_AFTER then\n", "if false then\n")],
    "what is not to run beside others waits among them": [("kind == 'alone')", "false)")],
    "three crashes make a suspect": [("local SUSPECT_AFTER = 2", "local SUSPECT_AFTER = 3")],
    # Ending
    "settle leaves the entry": [("    forget(letter, entries)\n", "")],
    "settle takes whatever is oldest": [("are_all_known(letter, #entries)", "true")],
    "settle takes the oldest past one that is in work": [("if at_or_below(oldest[1], entry) then", "if false then")],
    "settle leaves the record": [("redis.call('HDEL', K['attempts'], unpack(entries))", "")],
    "a dead letter is acknowledged before it is written": [
        (
            "local id, key = id_of(address, fields), field(fields, 'key')",
            "redis.call('XACK', stream, GROUP, entry)\n  local id, key = id_of(address, fields), field(fields, 'key')",
        )
    ],
    "bury keeps the unique key": [
        ("local id, key = id_of(address, fields), field(fields, 'key')", "local id, key = id_of(address, fields)")
    ],
    "cancel leaves the task parked": [("address) end\nredis.call('XDEL'", "address .. '!') end\nredis.call('XDEL'")],
    "purge takes running tasks": [
        (
            "if not is_held[entry] and (is_all or not pending_of(stream, entry)) then",
            "if true then",
        )
    ],
    "a dead letter is revived twice": [("redis.call('XDEL', K['dead'], dead)\nredis.call('HDEL', K['dead:ids'], id)", "")],
    "a revived task takes the key of another": [("if holder and holder ~= id then return {'taken', holder} end", "")],
    "a revived task loses its attempts": [("if attempts ~= '' then", "if false then")],
    "the history grows": [("if oldest and total - oldest < history then return end", "if oldest then return end")],
    # Time
    "the cursor is always 0-0": [("local cursor, of = cursors[letter] or '0-0', {}", "local cursor, of = '0-0', {}")],
    "leases run out too early": [("'~reap', lease, cursor", "'~reap', lease / 3, cursor")],
    "leases never run out": [("'~reap', lease, cursor", "'~reap', lease * 1000, cursor")],
    "heartbeats never expire": [("'-inf', now, 'LIMIT', 0, 10", "'-inf', 0, 'LIMIT', 0, 10")],
    "sweeps do not rest": [("if now < tonumber(control[2] or 0) or", "if")],
    "a restart of the server is not noticed": [("or seen[3] ~= run_id then", "then")],
    "silence of everybody is not noticed": [("if now > tonumber(seen[2] or 0) or now < tonumber(seen[1] or 0) or", "if")],
    "leave throws pending entries away": [
        ("if pending_rows(STREAM[letter], '-', '+', 1, consumer)[1] then return false end", "")
    ],
    # A full server
    "a full server lets nobody beat": [("lift()\nfor i = 4, #ARGV, 3 do", "for i = 4, #ARGV, 3 do")],
    "a full server parks nothing": [
        ("redis.call('XCLAIM', stream, GROUP, consumer, 0, entry, 'JUSTID')\n    local known", "local known")
    ],
    # Reading
    "what has failed is told to wait": [("if count == forgiven and unknown == '0' then", "if true then")],
    "what was handed back is told among the retrying": [("- #passed\n", "\n")],
}

#: Chance takes longer to find these: they are planted with `--long`; the shortest ways to some are in `test_sequences.py`.
RARE = frozenset(
    (
        "the fence does not compare the count",
        "settle does not compare the count",
        "the count is not restored",
        "a suspect is admitted beside others",
        "a dead letter is acknowledged before it is written",
        "the cursor is always 0-0",
        "due tasks are claimed while a mark stands",
        "a pause stops nothing",
        "a pause does not stop the quarantine",
        "claim does not ask for the fence",
        "bury keeps the unique key",
        "the fence does not compare the consumer",
        "a group that is gone is an error",
        "the mark goes with the first read",
        "a sweep does not make missing groups",
        "a stray is forgotten when it is due",
        "the bound is off by one",
        "the bound does not count what was sent with a delay",
        "purge takes running tasks",
        "a dead letter is revived twice",
        "a revived task takes the key of another",
        "a revived task loses its attempts",
        "leases run out too early",
        "a full server parks nothing",
        "a restart of the server is not noticed",
        "silence of everybody is not noticed",
    )
)
