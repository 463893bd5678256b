"""Draws docs/monitor.svg: `streamq monitor` while two workers work and a third has just been killed.

Run by hand, in the environment of the scripts.
"""

from __future__ import annotations

import io
import re
import time

from demo import Demo
from photos import ROOT
from rich.console import Console

from streamq.cli.monitor import Watch
from streamq.cli.monitor_view import Frame
from streamq.cli.state import State

READINGS = 30


def main() -> None:
    """Runs a small load and draws the view of its middle."""
    demo = Demo(ROOT / ".demo", tasks=900, processes=1)
    try:
        demo.prepare()
        demo.send()
        for name in ("worker1", "worker2", "worker3"):
            demo.start_worker(name)
        state = State()
        state.given = {"config": str(demo.folder / "config.yaml"), "data": str(demo.folder / "data")}
        watch = Watch(state)
        for reading in range(READINGS):
            moment = watch.read()
            if reading == READINGS - 2:
                demo.kill("worker3")
            time.sleep(0.5)
        console = Console(record=True, width=110, height=30, file=io.StringIO(), force_terminal=True)
        console.print(Frame(moment, None, 0.5))
        svg = console.export_svg(title="streamq monitor")
        state.close()
    finally:
        demo.close()
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # no font from elsewhere
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs" / "monitor.svg").write_text(svg.replace(f"//{ROOT}/", "//"))


if __name__ == "__main__":
    main()
