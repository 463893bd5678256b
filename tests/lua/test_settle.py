"""`settle`: a group of finished tasks leaves the queue, with results, history and figures."""

from __future__ import annotations

from tests.lua.bench import Bench


def test_a_finished_task_leaves_nothing_but_history_and_figures(bench: Bench) -> None:
    """Entry, pending row and record are gone; one line of history, one finished, the buckets as told."""
    bench.park("w1-a", bench.held(), attempt=b"{}")
    [task] = bench.take()
    with bench.changing() as changed:
        assert bench.settle("w1-a", task) == []
    assert changed == {
        f"default {task.address}": None,
        f"pending {task.address}": None,
        f"attempts {task.address}": None,
        "stats finished": 1,
        "stats endings": 1,
        "minutes finished": 1,
        "minutes w1": 1,
        "minutes r2": 1,
        "ended": [f"{task.address}\tfinished\t1\t2\t2\timage"],
    }


def test_a_group_over_all_streams_is_settled_at_once(bench: Bench) -> None:
    """450 tasks of four streams in any order, each with a result: all pass."""
    heads = ["h", "d", "l", "d;+1;;"] * 113
    bench.send(*heads[:450])
    tasks = bench.take(want=1000)
    while len(tasks) < 450:
        tasks += bench.take(want=1000)
    tasks.sort(key=lambda task: task.address[::-1])
    fences = [(task.address, task.count) for task in tasks]
    extras = [value for i, task in enumerate(tasks, 1) for value in (i, task.address, "", f"result {i}")]
    lines = "\n".join(task.address for task in tasks)
    assert bench.run.settle("w1-a", "w1", 60_000, lines, "", fences, extras, [task.address for task in tasks]) == []
    state = bench.state
    assert state["stats finished"] == 450
    assert state["ended"] == [task.address for task in tasks]
    assert not [name for name in state if name.split()[0] in {"high", "default", "low", "later", "pending"}]
    assert bench.client.get(bench.keys.result(tasks[449].address)) == b"result 450"
    assert 0 < bench.client.pttl(bench.keys.result(tasks[0].address)) <= 60_000


def test_refused_tasks_write_no_result_no_line_and_free_no_key(bench: Bench) -> None:
    """Of three tasks the middle one has lost its lease: the others' results and lines stand, in their own places."""
    bench.send("d")
    [first] = bench.take("w1-a")
    bench.send("d;;;u", key="k")
    [lost] = bench.take("w2-b")
    bench.send("d")
    [last] = bench.take("w1-a")
    tasks = (first, lost, last)
    fences = [(task.address, task.count) for task in tasks]
    extras = [value for i, task in enumerate(tasks, 1) for value in (i, task.address, "k", f"result {i}")]
    ids = [task.address for task in tasks]
    with bench.changing() as changed:
        assert bench.run.settle("w1-a", "w1", 60_000, "one\ntwo\nthree", "", fences, extras, ids) == [lost.address]
    assert [bench.client.get(bench.keys.result(address)) for address in ids] == [b"result 1", None, b"result 3"]
    assert changed["ended"] == ["one", "three"]
    assert changed["stats fenced"] == 1
    assert changed["stats finished"] == 2
    assert bench.state["unique k"] == lost.address


def test_a_result_goes_by_the_first_id(bench: Bench) -> None:
    """A revived task stands at another address; its result, its key and `moved` go by its id."""
    [task] = [bench.held(key="k")]
    task_id = task.address
    bench.bury("w1-a", task)
    bench.run.revive(task_id)
    [task] = bench.take()
    assert task.address != task_id
    extras: list[str | bytes | int] = [1, task_id, "k", "r"]
    assert bench.run.settle("w1-a", "w1", 9999, "x", "", [(task.address, task.count)], extras, [task_id]) == []
    assert bench.client.get(bench.keys.result(task_id)) == b"r"
    assert not [name for name in bench.state if name.split()[0] in {"unique", "moved", "attempts", "default"}]


def test_an_id_that_no_moved_task_has_frees_nothing_of_others(bench: Bench) -> None:
    """Sequence: a stranger's entry carries the `id` of a revived task; finishing it leaves that task's place in `moved`."""
    task = bench.held()
    bench.bury("w1-a", task)
    bench.run.revive(task.address)
    bench.client.xadd(bench.keys["high"], {"task": "x", "args": "{}", "id": task.address})
    [forged] = bench.run.take("w1-a", 1, 0, "h").tasks
    bench.run.settle("w1-a", "w1", 1, "x", "", [(forged.address, 1)], [1, task.address, "", ""])
    assert f"moved {task.address}" in bench.state


def test_a_consumer_that_holds_more_than_it_settles(bench: Bench) -> None:
    """The range that is read for the fence ends before the last entry: what lies beyond is asked for by itself."""
    bench.send(*["d"] * 500)
    tasks = bench.take(want=500)
    assert bench.settle("w1-a", tasks[0], tasks[250], tasks[499]) == []
    assert bench.settle("w1-a", tasks[499], tasks[498], tasks[250]) == [tasks[499].address, tasks[250].address]
    assert bench.state["stats finished"] == 4


def test_an_entry_deleted_behind_our_back_is_finished_all_the_same(bench: Bench) -> None:
    """XDEL while it runs: the run ends as it would have."""
    task = bench.held()
    bench.client.xdel(bench.keys["default"], task.address[1:])
    assert bench.settle("w1-a", task) == []
    state = bench.state
    assert state["stats finished"] == 1
    assert not [name for name in state if name.startswith("pending")]
