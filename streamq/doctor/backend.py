"""Whether a worker on this machine could load what reads images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamq.doctor.finding import finding
from streamq.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamq.config import Settings
    from streamq.doctor.finding import Finding


def examine(settings: Settings) -> Iterator[Finding]:
    """Load the backend of image tasks where it is another one than Pillow, which is always there."""
    if settings.images.backend == "pillow":
        return
    from streamq.images.backends import scaler

    try:
        scaler(settings)
    except ConfigError as error:
        yield finding("image-backend", "warning", f"no worker starts here: {error.what}", error.hint)
    else:
        yield finding("image-backend", "ok", "image tasks are read and scaled by libvips")
