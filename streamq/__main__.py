"""`python -m streamq`: the same program as `streamq`."""

from __future__ import annotations

import sys

from streamq.cli import main

if __name__ == "__main__":
    sys.exit(main())
