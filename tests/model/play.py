"""One random play: a seed, so many steps, and the drain at the end."""

from __future__ import annotations

import random
import sys

from tests.conftest import wait_until
from tests.lua.servers import Server
from tests.model.driver import Driver
from tests.model.steps import WEIGHTS, Steps

#: After so many steps everything is compared.
CHECK_EVERY = 5
#: How long the drain may take, in seconds; what a dead reader left is looked at once a second.
PATIENCE = 15


class Play:
    """Plays on one server, each time on a fresh queue.

    Args:
        server: with an append-only file that is synced at each write.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.plays = 0

    def steps(self, seed: int, many: int, *, patience: float = PATIENCE) -> Driver:
        """Play so many steps and drain the queue.

        Args:
            seed: where all chance comes from.
            many: how many steps.
            patience: how long the drain may take, in seconds.

        Raises:
            AssertionError: an invariant does not hold; the seed and the last steps are printed.
        """
        self.plays += 1
        driver = Steps(self.server, f"model-{self.plays}-{seed}", random.Random(seed))  # noqa: S311 - a seed that can be given again
        done: list[str] = []
        try:
            choices = driver.rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=many)
            for i, step in enumerate(choices):
                done.append(step.__name__)
                step(driver)
                if i % CHECK_EVERY == 0:
                    driver.check()
            done.append("drain")
            drain(driver, patience)
        except BaseException:
            sys.stderr.write(f"seed {seed}, step {len(done)} of {many}; the last ones: {' '.join(done[-25:])}\n")
            raise
        finally:
            driver.close()
        return driver


def drain(driver: Steps, patience: float) -> None:
    """Everybody dies, one worker works off what there is: nothing is left but history, and all that was accepted has ended."""
    driver.check()
    driver.run.pause(paused=False)
    driver.paused = False
    for consumer in {row.consumer for row in driver.pending().values()}:
        driver.reap(consumer)
    driver.run.open()

    def is_drained() -> bool:
        driver.take()
        driver.take_suspect()
        driver.settle_all()
        return not driver.model.at

    wait_until(is_drained, "all that was accepted has been handed out and settled", patience)
    driver.check()
    for name in ("attempts", "unique", "moved"):
        assert driver.link.call("HLEN", driver.keys[name]) == 0
    assert not driver.parked()
