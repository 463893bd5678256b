"""Asking before something is done that cannot be undone."""

from __future__ import annotations

import sys

import click

from streamq.errors import UsageError


def sure(question: str, *, yes: bool) -> bool:
    """Whether somebody really wants it.

    Args:
        question: what is asked on stderr, without its question mark.
        yes: it was said before (`--yes`); then nobody is asked.

    Raises:
        UsageError: there is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"nobody is there to be asked: {question}?", hint="--yes does it without a question.")
    return click.confirm(f"{question}?", err=True)
