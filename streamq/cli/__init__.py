"""The command line: `main` runs one command and turns however it ends into an exit status and at most one line of error.

0 done, 1 what was asked failed, 2 wrong usage or configuration, 3 the server cannot be reached or used, 130 interrupted, 143
terminated. A traceback is shown only with `--debug`. Everything is imported inside, so that Ctrl-C is as quiet during a start as
at any other time.

    commands.py   which commands there are; each is loaded only when it is called
    options.py    the options of every command, and types of values that several commands take
    state.py      what a command is handed: settings, server, queue, where the output goes
    render.py     tables, JSON, times, colours, progress: everything that is printed passes through it
    logging.py    the log on stderr
"""

from __future__ import annotations

from collections.abc import Sequence

INTERRUPTED = 130
#: By SIGTERM, as a shell has it for a process that the signal ended.
TERMINATED = 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments (those of the process by default) ask for, and return its exit status."""
    try:
        from streamq.cli import commands

        return commands.run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
