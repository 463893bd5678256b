"""Who reads and scales images: Pillow, or libvips where `images.backend` says so and it is installed.

Called by the image task when a worker starts, and by the commands that examine a configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, BinaryIO

from streamq.config import Settings
from streamq.errors import ConfigError
from streamq.images.geometry import Scaling

if TYPE_CHECKING:
    from PIL import Image

#: Makes a part of an opened image, of a file of so many bytes, in another size; None: Pillow is to do it.
Scaler = Callable[["Image.Image", BinaryIO, int, Scaling], "Image.Image | None"]


def scaler(settings: Settings) -> Scaler | None:
    """Return what is asked before Pillow; None where Pillow does everything.

    Raises:
        ConfigError: libvips is chosen and cannot be loaded.
    """
    check(settings)
    if settings.images.backend == "pillow":
        return None
    try:
        from streamq.images import vips
    except (ImportError, OSError, AttributeError) as error:  # the last one: an older libvips, or binding
        raise _unusable(settings, f"libvips cannot be loaded: {str(error).strip()}") from None
    return vips.scaled


def check(settings: Settings) -> None:
    """Refuse a backend that is not installed, and load none.

    Raises:
        ConfigError: libvips is chosen, and its binding is not there.
    """
    if settings.images.backend == "vips" and find_spec("pyvips") is None:
        raise _unusable(settings, "pyvips is not installed")


def _unusable(settings: Settings, why: str) -> ConfigError:
    where = settings.origins.get("images.backend")
    fault = f"images.backend: expected pillow, or an installation with libvips; {why}"
    return ConfigError([f"{where}: {fault}" if where else fault], hint="pip install 'streamq[vips]'")
