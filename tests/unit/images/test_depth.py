"""More than 8 bits a channel: what becomes of them, and when it is said that they are lost."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from typing import Final

import numpy as np
import pytest
from PIL import Image

from tests.unit.images.pictures import encoded, made

#: PNG's number for the channels of a mode.
_KINDS: Final = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}
#: Of all channels, in 16 bits; 0x12 in 8.
VALUE: Final = 0x1234


def deep_png(mode: str) -> bytes:
    """A PNG with 16 bits a channel; Pillow writes those of one channel only."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    side = 16
    line = b"\0" + np.full((side, len(mode)), VALUE, ">u2").tobytes()
    header = struct.pack(">IIBBBBB", side, side, 16, _KINDS[mode], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(line * side)) + chunk(b"IEND", b"")


def deep_tiff(compression: str | None) -> bytes:
    """A grey TIFF with 16 bits."""
    pixels = np.full((16, 16), VALUE, "<u2")
    return encoded(Image.fromarray(pixels), "TIFF", **({"compression": compression} if compression else {}))


DEEP: Final = {
    **{f"{mode} PNG": deep_png(mode) for mode in _KINDS},
    "TIFF": deep_tiff(None),
    "packed TIFF": deep_tiff("tiff_lzw"),
}


def test_these_files_have_16_bits() -> None:
    """Asked of Pillow's own layout for one, and of the value of a pixel for another."""
    with Image.open(io.BytesIO(DEEP["RGB PNG"])) as image:
        assert image.tile[0].args == "RGB;16B"
    with Image.open(io.BytesIO(DEEP["TIFF"])) as image:
        assert image.getpixel((0, 0)) == VALUE


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("target", ["png", "tiff", "jpeg"])
def test_a_result_has_8_bits_a_channel_and_it_is_said_where_more_would_fit(
    name: str, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The picture is the same but for that. Nobody expects more of a JPEG."""
    with caplog.at_level(logging.WARNING, "streamq.images"):
        result = made(DEEP[name], operation="strip", format=target)
    if "A" not in name:  # else its transparency was laid on white, or is kept
        assert all(abs(value - 0x12) <= 1 for value in np.asarray(result.convert("RGB"), int)[8, 8])
    said = [record.getMessage() for record in caplog.records]
    assert said == ([] if target == "jpeg" else [f"source x has more than 8 bits a channel; the {target} made of it has 8"])


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1"])
def test_nothing_is_said_where_nothing_is_lost(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    """Of pictures with 8 bits, and of a bitmap whose pixels are packed into 16."""
    with caplog.at_level(logging.WARNING, "streamq.images"):
        made(encoded(Image.new(mode, (16, 16)), "PNG"), operation="strip")
        made(packed_bmp(), operation="strip")
    assert not caplog.records


def packed_bmp() -> bytes:
    """A bitmap of 5, 6 and 5 bits a channel."""
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    header = struct.pack("<IiiHHIIiiII", 40, 16, 16, 1, 16, 3, 512, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 66 + 512, 0, 0, 66) + header + masks + bytes(512)
