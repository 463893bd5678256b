"""What the error replies of servers mean, and how what they tell of can be mended."""

from __future__ import annotations

import pytest

from streamq.errors import ServerError, ServerUnreachable, ServerUnusable
from streamq.server.reply import Forbidden, MemoryFull, ReplyError, error_of


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("LOADING server is loading the dataset in memory", ServerUnreachable),
        ("MASTERDOWN Link with MASTER is down", ServerUnreachable),
        ("CLUSTERDOWN Hash slot not served", ServerUnreachable),
        ("ERR max number of clients reached", ServerUnreachable),
        ("MOVED 3999 127.0.0.1:6381", ServerUnusable),
        ("DENIED Redis is running in protected mode", ServerUnusable),
        ("ERR unknown command 'XAUTOCLAIM', with args beginning with: ", ServerUnusable),
        ("ERR SELECT is not allowed in cluster mode", ServerUnusable),
        ("UNBLOCKED the stream key no longer exists", ReplyError),
        ("BUSYGROUP Consumer Group name already exists", ReplyError),
        ("BUSYKEY Target key name already exists.", ReplyError),
    ],
)
def test_error_replies_are_told_apart_by_what_can_be_done(text: str, kind: type[ServerError]) -> None:
    """Wait, give up, or let the caller judge."""
    assert type(error_of(text)) is kind


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("NOPERM User app has no permissions to run the 'xgroup|create' command", "`ACL SETUSER app +xgroup|create` on the"),
        ("NOPERM this user has no permissions to run the 'xdel' command", "`ACL SETUSER NAME +xdel` on the server grants it"),
        (
            "ERR ACL failure in script: User app has no permissions to run the 'xdel' command script: x, on @user_script:1.",
            "`ACL SETUSER app +xdel` on the server grants it",
        ),
        ("NOPERM No permissions to access a key", "`ACL SETUSER NAME ~streamq:*` on the server grants all keys"),
        (
            "NOPERM this user has no permissions to access one of the keys used as arguments",
            "`ACL SETUSER NAME ~streamq:*` on the server grants all keys",
        ),
        ("The user executing the script can't run this command or subcommand", "`streamq doctor` names the commands"),
    ],
)
def test_a_right_that_is_missing_comes_with_what_grants_it(text: str, hint: str) -> None:
    """As far as the server tells which it is."""
    error = error_of(text)
    assert isinstance(error, Forbidden)
    assert error.hint is not None
    assert error.hint.startswith(hint)


def test_the_error_inside_a_script_of_an_old_server_is_unwrapped() -> None:
    """Redis 6.2 puts the script's name before the error of a command in it."""
    where = f"ERR Error running script (call to f_{'0' * 40}): @user_script:1:"
    wrapped = error_of(f"{where} @user_script: 1: -OOM command not allowed when used memory > 'maxmemory'.")
    assert type(wrapped) is MemoryFull
    inner = error_of(f"{where} WRONGTYPE Operation against a key")
    assert isinstance(inner, ReplyError)
    assert inner.code == "WRONGTYPE"
