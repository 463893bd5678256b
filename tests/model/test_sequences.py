"""Sequences that the machine has found and made short: each broke a script, a bug planted there, or what it took for granted."""

from __future__ import annotations

import pytest

from streamq import transitions
from tests.lua.servers import Server
from tests.model import clock
from tests.model.bugs import BUGS
from tests.model.machine import Machine, played
from tests.model.producers import Spec


def test_a_group_of_later_that_is_missing_is_made_by_the_sweep(model_server: Server) -> None:
    """A scheduled task is held when the group of `later` goes: no take misses the group, a sweep does."""
    with played(model_server) as queue:
        queue.begin(opened=False, specs=[Spec(delay=1)])
        queue.let_time_pass(units=1)
        queue.take_all(who=0)
        queue.destroy_group(which=0, opened=False, wants=[])
        queue.sweep(batch=100)
        queue.take_all(who=1)


def test_a_stray_is_put_off_until_its_reader_is_reaped(model_server: Server) -> None:
    """A blocked read brings a parked task past a mark, and its reader dies: it stays parked, and is handed out in the end."""
    with played(model_server) as queue:
        queue.begin(opened=True, specs=[Spec()])
        queue.take(who=0, want=1)
        queue.park(who=0, most=1, late=0, kind="retry", delay=1)
        queue.read_past_a_mark(which=0, count=1, then="die", again=False)
        queue.let_time_pass(units=1)
        queue.take_all(who=1)
        queue.reap(which=0, known=None, batch=100)
        queue.let_time_pass(units=1)
        queue.take_all(who=1)


def test_a_lane_is_kept_for_an_hour(model_server: Server) -> None:
    """And is forgotten by the first sweep after that."""
    with played(model_server) as queue:
        queue.begin(opened=True, specs=[Spec()])
        for _ in range(8):
            queue.let_time_pass(units=7)
            queue.sweep(batch=100)
            queue.send_again(lane=0)
        queue.let_an_hour_pass()
        queue.sweep(batch=100)
        queue.send(specs=[Spec()])


def test_scripts_that_are_forgotten_are_sent_again(model_server: Server) -> None:
    """A send whose reply is lost after SCRIPT FLUSH is repeated once."""
    with played(model_server) as queue:
        queue.begin(opened=True, specs=[Spec()])
        queue.flush_scripts()
        queue.send_and_lose_the_reply(specs=[Spec("h"), Spec("l", 2)], lane=1, loss="cut")
        queue.flush_scripts()
        queue.take_all(who=0)
        queue.finish_and_lose_the_reply(who=0, most=9, loss="kill")


def test_a_dead_letter_that_cannot_be_written_leaves_the_task_held(model_server: Server) -> None:
    """What replaces an entry stands before the entry goes."""
    with played(model_server) as queue:
        queue.begin(opened=True, specs=[Spec(), Spec(delay=1)])
        queue.take_all(who=0)
        queue.bury_in_vain(which=0)
        queue.finish(who=0)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_what_stands_behind_a_crowd_is_reaped(model_server: Server, batch: int) -> None:
    """Sweeps in small batches come round, however many living tasks stand ahead."""
    with played(model_server) as queue:
        queue.begin(opened=True, specs=[Spec()])
        queue.strand_behind_a_crowd(letter="h", many=15, batch=batch)


def _late_after_the_same_worker_took_it_again(queue: Machine) -> None:
    for _ in range(2):
        queue.take(who=0, want=1)
        queue.park(who=0, most=1, late=0, kind="release")
    queue.take(who=0, want=1)
    queue.call_late(most=2)


def _known_and_running_when_its_group_goes(queue: Machine) -> None:
    queue.take(who=0, want=1)
    queue.park(who=0, most=1, late=0, kind="retry")
    queue.take(who=0, want=1)
    queue.destroy_group(which=0, wants=[1])


def _due_when_its_group_goes(queue: Machine) -> None:
    queue.take(who=0, want=1)
    queue.park(who=0, most=1, late=0, kind="retry")
    queue.destroy_group(which=0, wants=[2])


def _a_suspect_runs_when_its_group_goes(queue: Machine) -> None:
    queue.kill_worker_after_worker(who=0, rounds=2, want=1)
    queue.take_suspect()
    queue.destroy_the_group_of_a_suspect(opened=True)


def _the_dead_letters_cannot_be_written(queue: Machine) -> None:
    queue.take(who=0, want=1)
    queue.bury_in_vain(which=0)


def _one_stands_behind_a_crowd(queue: Machine) -> None:
    queue.strand_behind_a_crowd(letter="h", many=15, batch=1)


def _the_server_restarts_among_workers_that_beat(queue: Machine) -> None:
    queue.let_time_pass(units=7, awake=True)
    queue.kill_server(beating=True)
    queue.sweep(batch=100)


def _nobody_beats_for_long(queue: Machine) -> None:
    queue.let_time_pass(units=7, awake=True)
    queue.let_time_pass(units=7, awake=False)
    queue.let_time_pass(units=1, awake=True)
    queue.sweep(batch=100)


#: The shortest way to bugs that chance finds late.
SHORTEST = {
    "the fence does not compare the count": _late_after_the_same_worker_took_it_again,
    "settle does not compare the count": _late_after_the_same_worker_took_it_again,
    "due tasks are claimed while a mark stands": _due_when_its_group_goes,
    "the count is not restored": _known_and_running_when_its_group_goes,
    "a suspect is admitted beside others": _a_suspect_runs_when_its_group_goes,
    "a dead letter is acknowledged before it is written": _the_dead_letters_cannot_be_written,
    "the cursor is always 0-0": _one_stands_behind_a_crowd,
    "silence of everybody is not noticed": _nobody_beats_for_long,
    "a restart of the server is not noticed": _the_server_restarts_among_workers_that_beat,
}


@pytest.mark.parametrize("bug", SHORTEST)
def test_the_shortest_way_to_a_bug(model_server: Server, monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    """The sequence passes with the scripts as they are, and fails with the bug planted."""
    with played(model_server) as queue:
        queue.begin(opened=True, specs=[Spec()])
        SHORTEST[bug](queue)
    monkeypatch.setattr(transitions, "load", clock.loader(BUGS[bug])[0])
    with played(model_server) as queue:
        queue.begin(opened=True, specs=[Spec()])
        with pytest.raises(AssertionError):
            SHORTEST[bug](queue)
