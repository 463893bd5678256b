"""What must hold of a queue at any instant, the server's whole state beside the model's."""

from __future__ import annotations

from typing import Any

from streamq.keys import GROUP, STREAMS, Keys
from streamq.server.connect import Link
from tests.lua.state import State, state_of, text
from tests.model.model import SUSPECT, Model, Task

#: So many of the newest results are looked at.
RESULTS = 20
_ENDINGS = ("finished", "dead", "expired", "cancelled", "purged", "revived")


def check(link: Link, keys: Keys, model: Model, history: int) -> None:
    """Compare everything.

    Raises:
        AssertionError: something does not hold; says what.
    """
    state = state_of(link, keys)
    parked = _parked(state)
    pending = {name.partition(" ")[2]: value.rpartition(" ") for name, value in state.items() if name.startswith("pending ")}
    _check_places(state, model, parked)
    _check_unread(link, keys, state, parked.keys() | pending.keys())
    for task in model.living():
        _check_task(state, task, parked.get(task.address), pending.get(task.address))
    _check_names(state, model)
    _check_figures(link, keys, state, model, len(pending), len(parked))
    _check_endings(state, model, history)
    for task_id, result in list(model.results.items())[-RESULTS:]:
        assert link.call("GET", keys.result(task_id)) == result.encode(), f"the result of {task_id} is not {result}"


def _parked(state: State) -> dict[str, str]:
    """Address of each parked entry and the zset that it stands in."""
    parked: dict[str, str] = {}
    for name in state:
        zset, _, address = name.partition(" ")
        if zset.partition(":")[0] in {"scheduled", "retry", "again", "suspects"}:
            assert address not in parked, f"{address} is parked in {zset} and in {parked[address]}"
            parked[address] = zset
    return parked


def _check_places(state: State, model: Model, parked: dict[str, str]) -> None:
    """Each living task stands in its stream, and nothing else does; nothing is parked or remembered without its entry."""
    entries = {f"{STREAMS[task.address[0]]} {task.address}" for task in model.living()}
    found = {name for name in state if name.partition(" ")[0] in STREAMS.values()}
    assert found == entries, f"not living, but in a stream: {found - entries}; living, but in none: {entries - found}"
    assert parked.keys() <= model.at.keys(), f"parked without an entry: {parked.keys() - model.at.keys()}"
    known = {name.partition(" ")[2] for name in state if name.startswith("attempts ")}
    assert known <= model.at.keys(), f"remembered without an entry: {known - model.at.keys()}"


def _check_unread(link: Link, keys: Keys, state: State, placed: set[str]) -> None:
    """What is neither pending nor parked is still to be read: XLEN - pending - parked are waiting."""
    for letter, stream in STREAMS.items():
        last = _last_delivered(link, keys[stream])
        if last is None:
            continue  # no group: nothing has been read for it
        for name in state:
            where, _, address = name.partition(" ")
            if where == stream and address not in placed:
                entry = tuple(map(int, address[1:].split("-")))
                assert entry > last, f"{address} was read, and is neither pending nor parked: nobody will bring it again"
                assert letter != "s" or state.get("control s"), f"{address} of later is not parked, and no mark stands"


def _last_delivered(link: Link, stream: str) -> tuple[int, ...] | None:
    groups: Any = link.call("XINFO", "GROUPS", stream)
    for group in groups:
        told = dict(zip(map(text, group[::2]), group[1::2], strict=True))
        if text(told["name"]) == GROUP:
            return tuple(map(int, text(told["last-delivered-id"]).split("-")))
    return None


def _check_task(state: State, task: Task, zset: str | None, row: tuple[str, str, str] | None) -> None:
    """Its pending row and its record are the model's; a suspect waits among the suspects."""
    assert (row is not None) == task.pending, f"{task.address}: pending {row}, the model says {task}"
    if row is not None:
        assert (zset is not None) == task.stray, f"{task.address} is pending {row} and parked in {zset}"
        if task.current is not None:
            assert row[0] == task.current.consumer, f"{task.address} is held by {row[0]}, handed out to {task.current}"
            assert int(row[2]) in {task.last, 1}, f"{task.address} is held with count {row[2]}, handed out with {task.current}"
    record = state.get(f"attempts {task.address}")
    assert (record is not None) == bool(task.recorded or task.attempts), (
        f"{task.address}: record {record!r}, the model says {task}"
    )
    if record is not None:
        count, forgiven, crashes, unknown = map(int, record.partition("\n")[0].split())
        told = (task.recorded, task.forgiven, task.crashes, task.unknown)
        assert (count, forgiven, crashes, unknown > 0) == told, f"{task.address}: record {record!r}, the model says {task}"
        assert record.count("{") == task.attempts, f"{task.address}: attempts {record!r}, the model says {task}"
    if zset is not None:
        suspect = task.crashes >= SUSPECT
        assert (zset.partition(":")[0] == "suspects") == suspect, f"{task.address} with {task.crashes} crashes waits in {zset}"


def _check_names(state: State, model: Model) -> None:
    """Keys point to living tasks, moved ones to where they stand, and the index to each dead letter."""
    unique = {name.partition(" ")[2]: value for name, value in state.items() if name.startswith("unique ")}
    assert unique == model.keys, f"unique keys are {unique}, the model says {model.keys}"
    moved = {name.partition(" ")[2]: value for name, value in state.items() if name.startswith("moved ")}
    living = {task.id: task.address for task in model.living() if task.id != task.address}
    assert moved == living, f"moved are {moved}, the model says {living}"
    dead = {task.id for task in model.dead()}
    for kind in ("dead", "dead:ids"):
        found = {name.partition(" ")[2] for name in state if name.startswith(f"{kind} ")}
        assert found == dead, f"{kind} are {found}, the model says {dead}"


def _check_figures(link: Link, keys: Keys, state: State, model: Model, pending: int, parked: int) -> None:
    """Sent and revived are what waits, runs or is parked, and what has ended, term by term."""
    for name in _ENDINGS:
        assert state.get(f"stats {name}", 0) == model.totals[name], (
            f"{name} is {state.get(f'stats {name}')}, not {model.totals[name]}"
        )
        if name in {"finished", "dead"}:
            assert state.get(f"minutes {name}", 0) == model.totals[name], f"minutes of {name}: {state.get(f'minutes {name}')}"
    strays = sum(task.stray for task in model.living())
    xlen: int = sum(_length(link, keys[stream]) for stream in STREAMS.values())
    waiting = xlen - pending - parked + strays
    ended = sum(model.totals[name] for name in _ENDINGS[:-1])
    assert model.totals["sent"] + model.totals["revived"] == waiting + pending - strays + parked + ended


def _length(link: Link, stream: str) -> int:
    """How many entries a stream has."""
    length: Any = link.call("XLEN", stream)
    return int(length)


def _check_endings(state: State, model: Model, history: int) -> None:
    """The newest endings are there in order, as many as asked for, and not many more."""
    found = [tuple(line.split("\t")[:2]) for line in state["ended"] if line]
    assert found == model.endings[len(model.endings) - len(found) :], f"endings are {found[-5:]}, not {model.endings[-5:]}"
    assert min(history, len(model.endings)) <= len(found) < history + 100, (
        f"{len(found)} endings are kept, {history} were asked for"
    )
