"""One round: everybody works, faults happen, all is mended, the queue is worked off, and the history is checked."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from streamq.errors import ServerError
from tests.chaos import faults, pictures
from tests.chaos.audit import Audit, History, Verdict
from tests.chaos.faults import Fault
from tests.chaos.ledger import read
from tests.chaos.place import Place
from tests.integration.catalogue.databases import Postgres

#: Workers and producers of a round.
WORKERS, PRODUCERS = 3, 2
#: Without any task ending for so long, in seconds, the queue counts as stuck.
_STUCK = 90.0


class Plan(NamedTuple):
    """What a round is made of."""

    number: int
    seed: str
    seconds: float
    fsync: str
    #: What makes the server forget, once in the middle; None: nothing may be lost.
    loss: Fault | None = None

    @property
    def title(self) -> str:
        """What the round is called."""
        return f"round {self.number}, {self.fsync}" + (f", {faults.title(self.loss)}" if self.loss else "")


@dataclass
class Outcome:
    """What became of a round."""

    plan: Plan
    verdict: Verdict
    faults: Counter[str]
    seconds: float
    #: Kept where a promise was broken.
    folder: Path | None


class Round:
    """One round.

    Args:
        plan: what it is made of.
        database: where the catalogue is.
    """

    def __init__(self, plan: Plan, database: Postgres) -> None:
        self._plan = plan
        self._rng = random.Random(plan.seed)  # noqa: S311 - to be repeated
        self._folder = Path(tempfile.mkdtemp(prefix="sqc"))
        through_link = plan.loss is faults.fail_over
        queue = f"chaos-{plan.number}"
        self._place = Place(self._folder, queue, plan.fsync, database, self._rng, through_link=through_link)
        self._broken: list[str] = []
        self._end = 0.0

    def play(self) -> Outcome:
        """Play it."""
        began = time.monotonic()
        with self._place as place:
            if not place.has_disk:
                place.records.faults["disk not filled: it may not be mounted here"] += 1
            place.keep(WORKERS)
            for _ in range(PRODUCERS):
                place.start_producer(faults.PACE)
            self._end = time.monotonic() + self._plan.seconds
            threads = [threading.Thread(target=self._harm, args=(each,)) for each in self._fault_lists()]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            place.heal()
            self._finish()
            verdict = self._judge()
        if not verdict.faults:
            shutil.rmtree(self._folder)
        else:
            (self._folder / "records.json").write_bytes(place.records.dump())
            (self._folder / "faults.txt").write_text("\n".join(verdict.faults))
        kept = self._folder if verdict.faults else None
        return Outcome(self._plan, verdict, place.records.faults, time.monotonic() - began, kept)

    # Harm

    def _fault_lists(self) -> list[Sequence[Fault]]:
        """Which faults happen side by side."""
        quiet = self._plan.fsync == "always"
        server = [each for each in faults.SERVER_FAULTS if quiet or each is not faults.kill_server]
        around = [*faults.LINK_FAULTS, *server, *faults.OTHER_FAULTS[not self._place.has_disk :]]
        return [faults.WORKER_FAULTS, around]

    def _harm(self, kinds: Sequence[Fault]) -> None:
        """Let faults of these kinds happen until the round is over, each kind before any comes again."""
        rng = random.Random(self._rng.getrandbits(64))  # noqa: S311 - to be repeated
        middle = self._end - self._plan.seconds * rng.uniform(0.3, 0.6)
        loss = self._plan.loss if faults.halt_server in kinds else None
        try:
            for fault in _deck(kinds, rng):
                pause = min(rng.uniform(0.2, 4), self._end - time.monotonic())
                if pause <= 0:
                    return
                time.sleep(pause)
                if loss is not None and time.monotonic() > middle:
                    self._do(loss, rng)
                    loss = None
                self._do(fault, rng)
                self._look_after()
        except Exception:  # noqa: BLE001 - told as what it is
            self._broken.append(f"chaos itself failed:\n{traceback.format_exc()}")

    def _do(self, fault: Fault, rng: random.Random) -> None:
        place = self._place
        place.keep(1)
        place.records.note(faults.title(fault))
        place.records.faults[faults.title(fault)] += 1
        fault(place, rng)
        place.records.note(f"{faults.title(fault)} is over")

    def _look_after(self) -> None:
        """Nobody may end by himself; who was killed is replaced."""
        fleet = self._place.fleet
        for each in [*fleet.workers, *fleet.producers]:
            if not each.alive and (each in fleet.workers or each in fleet.producers):
                self._broken.append(f"{each.name} ended by itself with {each.process.poll()}: {self._log(each.name)}")
                (fleet.workers if each in fleet.workers else fleet.producers).remove(each)
        self._place.keep(WORKERS)

    def _log(self, name: str) -> str:
        lines = (self._folder / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-8:])

    # The end

    def _finish(self) -> None:
        """Producers end, the workers work off what is there, and end."""
        fleet = self._place.fleet
        producers, fleet.producers = fleet.producers, []
        for producer in producers:
            producer.process.send_signal(signal.SIGTERM)
        for producer in producers:
            if producer.process.wait(180) not in {0, -signal.SIGTERM}:  # asked before it had begun
                self._broken.append(f"{producer.name} ended with {producer.process.returncode}: {self._log(producer.name)}")
        self._work_off()
        for worker in list(fleet.workers):
            status = fleet.retire(worker, 60)
            if status != 0:
                self._broken.append(f"{worker.name} was asked to stop and ended with {status}: {self._log(worker.name)}")

    def _work_off(self) -> None:
        last, since = (-1, -1), time.monotonic()
        while True:
            self._look_after()
            with contextlib.suppress(ServerError):
                now = self._place.stats()
                if not (now.waiting.total or now.running or now.retrying or now.scheduled):
                    return
                done = (now.finished_total + now.retried_total, now.dead_total + now.reaped_total)
                if done != last:
                    last, since = done, time.monotonic()
            if time.monotonic() - since > _STUCK:
                return  # the audit names what is left
            time.sleep(0.1)

    def _judge(self) -> Verdict:
        place = self._place
        history = History(read(self._folder / "ledger"))
        stats = msgspec.to_builtins(place.stats())
        verdict = Audit(history, place.records, place.letters()).check(stats)
        verdict.faults += self._broken + pictures.check(place, history) + place.examine()
        return verdict


def _deck(kinds: Sequence[Fault], rng: random.Random) -> Iterator[Fault]:
    while True:
        yield from rng.sample(kinds, len(kinds))
