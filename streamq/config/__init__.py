"""The configuration: `load` gives the `Settings` in force, from options, environment, `config.yaml` and defaults.

`schema.py` holds every key; everything else here is made from it. No input or output beyond reading that one file.
"""

from __future__ import annotations

from streamq.config.load import load
from streamq.config.schema import Settings
from streamq.config.url import mask

__all__ = ["Settings", "load", "mask"]
