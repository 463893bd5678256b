"""Rights that are taken from a worker while it works: it says which one it lacks and how to give it, and loses nothing."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from streamq.server.connect import Link
from tests.workshop import Workshop

User = Callable[..., None]


@pytest.fixture
def user(shop: Workshop) -> Iterator[tuple[str, User]]:
    """A user of the server who may do all that a worker does: its name, and what changes its rights."""
    name = f"user-{secrets.token_hex(4)}"

    def change(*rules: str) -> None:
        assert shop.link.call("ACL", "SETUSER", name, *rules) == b"OK"

    change("on", ">secret", "~streamq:*", "+@all")
    yield name, change
    shop.link.call("ACL", "DELUSER", name)


def url(shop: Workshop, name: str) -> str:
    """Where the user logs in."""
    return shop.endpoint.masked.replace("unix://", f"unix://{name}:secret@")


def names_rights(link: Link) -> bool:
    """Whether the server tells which command was refused to a script (Redis 6.2 and 7.0 do not)."""
    return b"redis_version:6" not in link.call("INFO", "server") and b"redis_version:7.0" not in link.call("INFO", "server")


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (("-evalsha", "-eval"), "`ACL SETUSER {name} +evalsha` on the server grants it"),
        (("-@write",), "`ACL SETUSER {name} +"),
        (("-xack",), "`ACL SETUSER {name} +xack` on the server grants it"),
        (("resetkeys",), "`ACL SETUSER NAME ~streamq:*` on the server grants all keys of streamq"),
    ],
)
def test_a_worker_that_lacks_a_right_ends_and_others_have_its_tasks(
    shop: Workshop, user: tuple[str, User], rules: tuple[str, ...], said: str
) -> None:
    """Whether it is refused when it takes or when it settles; what it ran runs again elsewhere."""
    name, change = user
    shop.send_numbered("hold", [1])
    shop.send_numbered("work", range(2, 30))
    worker = shop.start("w1", "--url", url(shop, name), "--grace", "1s", "--lease", "3s", slots=2)
    shop.happened("start", 1)
    shop.happened("end", 5)
    change(*rules)
    shop.open(1)
    assert worker.ended() == 3, worker.log
    assert "the user of the URL may not do what a queue needs" in worker.log
    if names_rights(shop.link):
        assert said.format(name=name) in worker.log
    shop.send_numbered("work", range(30, 35))
    shop.start("w2", "--lease", "3s")
    figures = shop.settled()
    assert (figures.finished_total, figures.dead_total) == (34, 0)
    assert shop.count("end").keys() == set(range(1, 35))


def test_a_user_who_is_switched_off_is_told_so(shop: Workshop, user: tuple[str, User]) -> None:
    """His connections are closed, and he cannot log in again."""
    name, change = user
    shop.send_numbered("hold", [1])
    worker = shop.start("w1", "--url", url(shop, name), "--grace", "1s")
    shop.happened("start", 1)
    change("off")
    shop.link.call("CLIENT", "KILL", "USER", name)
    assert worker.ended() == 3, worker.log
    assert "the server refuses user name or password" in worker.log
    shop.open(1)
    shop.start("w2")
    assert shop.settled().finished_total == 1


def test_what_a_refused_script_leaves_undone_is_put_in_order_by_the_doctor(shop: Workshop, user: tuple[str, User]) -> None:
    """A server takes nothing back of a script that it refuses in its middle: here the entry stays that was to be deleted."""
    name, change = user
    [task_id] = shop.send("hold", {"n": 1})
    worker = shop.start("w1", "--url", url(shop, name))
    shop.happened("start", 1)
    change("-xdel")
    shop.open()
    assert worker.ended() == 3, worker.log
    assert "orphaned-entries" in shop.streamq("doctor", "--repair", "--json").stdout
    shop.start("w2")
    assert shop.settled().finished_total == 1
    assert shop.locate(task_id)["state"] == "finished"
    assert len(shop.lines("end", 1)) == 2
