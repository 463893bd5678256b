"""Photographs of several sizes, made from the samples that the package carries: crops and scales, never noise or gradients."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "streamq" / "images" / "samples"
#: Long sides in pixels; at 4 to 3 the largest have 12 megapixels.
SIDES = (800, 1600, 2400, 4000)


def make(folder: Path, sides: tuple[int, ...] = SIDES) -> list[Path]:
    """One photograph a sample and side, in a folder that exists; returns them sorted."""
    return sorted(_make(folder, sample, side) for sample in sorted(SAMPLES.glob("*.jpg")) for side in sides)


def _make(folder: Path, sample: Path, side: int) -> Path:
    with Image.open(sample) as photo:
        width = min(photo.width, photo.height * 4 // 3)
        box = photo.convert("RGB").crop((0, 0, width, width * 3 // 4))
    path = folder / f"{sample.stem}-{side}.jpg"
    box.resize((side, side * 3 // 4), Image.Resampling.LANCZOS).save(path, quality=90)
    return path
