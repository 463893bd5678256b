"""Animations: frames with their durations, kept when source and target can both hold them.

Pillow composes each frame as it is shown, so an operation on every frame needs no thought of disposal and blending. The three
formats count repetitions differently; here it is how often the animation plays, 0 for ever. Called by `pipeline` and `encoders`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from streamq.config.schema import Limits
from streamq.images.codecs import Picture
from streamq.images.errors import BadImage
from streamq.images.formats import Format

if TYPE_CHECKING:
    from PIL import Image

#: Duration of a frame that names none, ms; what browsers show.
UNTIMED: Final = 100


@dataclass(frozen=True, slots=True)
class Animation:
    """Frames of one size, each with its duration in ms, and how often they play (0: for ever)."""

    frames: list[Image.Image]
    durations: list[int]
    plays: int

    def options(self, target: Format) -> dict[str, Any]:
        """Return what Pillow's encoder of a format takes beside the frames."""
        options: dict[str, Any] = {"duration": self.durations}
        if target.name == "gif":
            # The frames are whole pictures; where they are transparent, the one before has to be cleared first.
            clear = any(frame.mode in ("LA", "RGBA", "PA") for frame in self.frames)
            options |= {"disposal": 2 if clear else 0} | ({} if self.plays == 1 else {"loop": max(0, self.plays - 1)})
        elif target.name in ("webp", "png"):
            options["loop"] = self.plays
        return options


def read(picture: Picture, limits: Limits, change: Callable[[Image.Image], Image.Image]) -> Animation | None:
    """Return all frames of an animation, each changed as it is read; None where there is one frame only.

    Args:
        picture: the opened file.
        limits: how many frames there may be; all changed frames together have at most as many pixels as one image may have.
        change: what is done to each frame, as `Picture.frame` returns it.

    Raises:
        BadImage: a limit is passed, or the file is broken.
    """
    frames: list[Image.Image] = []
    durations: list[int] = []
    first = 1 if picture.info.get("default_image") else 0  # a PNG's picture for programs that cannot play it
    while picture.seek(first + len(frames)):
        if len(frames) == limits.frames:
            raise BadImage(f"{picture.what} has more frames than images.limits.frames ({limits.frames})")
        picture.check(limits)
        frame, duration = picture.frame()
        changed = change(frame)
        if (len(frames) + 1) * changed.width * changed.height > limits.pixels:
            raise BadImage(
                f"the frames of {picture.what} have more pixels together than images.limits.pixels ({limits.pixels})",
                hint="Make it smaller, or write it in a format without animation: its first frame is taken then.",
            )
        frames.append(changed)
        durations.append(duration or UNTIMED)
    return Animation(frames, durations, _plays(picture)) if len(frames) > 1 else None


def _plays(picture: Picture) -> int:
    loop = picture.info.get("loop")
    if picture.pillow_format == "GIF":  # counts repetitions, and plays once where it says nothing
        return 1 if loop is None else loop + 1 if loop else 0
    return int(loop or 0)
