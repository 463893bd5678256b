"""Image files that are small and ask for much: made here, byte by byte. Run as a program, this opens one as the task does.

`python -m tests.security.bombs FILE BACKEND...` opens it for a format with frames and for one without, by each backend, and
prints a JSON object of each: its end, and by how many bytes the peak of the program's memory has risen by then.
"""

from __future__ import annotations

import io
import json
import resource
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

MEGA = 1 << 20


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *more: bytes, pixels: bytes | None = None, depth: int = 8, colours: int = 2) -> bytes:
    """A PNG with chunks of one's own before its pixels, which are black."""
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    if pixels is None:
        pixels = zlib.compress(b"\0" * (height * (1 + width * 3)), 9)
    body = b"".join(more)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zeros(size: int) -> bytes:
    """So many zeros, whole megabytes of them, compressed a thousandfold: one is compressed, and put there again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(b"\0" * MEGA) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">HH", size % 65_521, 1)  # Adler-32 of nothing but zeros
    return b"\x78\xda" + piece * (size // MEGA) + packer.flush() + checksum


def png_with_many_chunks() -> bytes:
    """Half a million comments."""
    return png(4, 4, chunk(b"tEXt", b"a\0b") * 500_000)


def png_with_many_names() -> bytes:
    """As many comments, each of another name, of which no limit on texts takes notice."""
    return png(4, 4, *(chunk(b"tEXt", b"%079d\0" % number) for number in range(500_000)))


def png_with_many_pieces() -> bytes:
    """Pixels in a million pieces of no byte."""
    whole = png(4, 4)
    return whole[:33] + chunk(b"IDAT", b"") * MEGA + whole[33:]


def png_with_much_text() -> bytes:
    """Comments of 256 megabytes each."""
    return png(4, 4, chunk(b"zTXt", b"a\0\0" + zeros(256 * MEGA)), chunk(b"iTXt", b"a\0\1\0\0\0" + zeros(256 * MEGA)))


def png_with_text_just_below() -> bytes:
    """Thousands of comments, each of a size that passes by itself."""
    return png(4, 4, chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * (MEGA - 1), 9)) * 3000)


def png_with_a_profile() -> bytes:
    """A colour profile of 256 megabytes."""
    return png(4, 4, chunk(b"iCCP", b"a\0\0" + zeros(256 * MEGA)))


def png_with_exif(entries: int = 1000) -> bytes:
    """EXIF data whose directory has many entries of four gigabytes each, and leads to itself."""
    directory = struct.pack("<HHII", 0x8769, 7, 0xFFFFFFFF, 8) * entries
    return png(4, 4, chunk(b"eXIf", b"II*\0" + struct.pack("<IH", 8, entries) + directory + struct.pack("<I", 8)))


def most_exif() -> bytes:
    """The same with as many entries as there can be, for Pillow alone: libvips would work on them for many seconds."""
    return png_with_exif(65_535)


def png_with_pixels_too_many() -> bytes:
    """A picture of 16 pixels with 256 megabytes of them."""
    return png(4, 4, pixels=zeros(256 * MEGA))


def png_huge() -> bytes:
    """A size of four billion pixels, of which none is there."""
    return png(65_535, 65_535, pixels=b"")


def png_black() -> bytes:
    """Four hundred million pixels, all there, in half a megabyte."""
    return png(20_000, 20_000, pixels=zeros(1200 * MEGA))


def apng_with_many_frames() -> bytes:
    """Two billion frames, it says, and ten thousand it has."""
    frame = struct.pack(">IIIIIHHBB", 0, 4, 4, 0, 0, 1, 1, 0, 0)
    pixels = zlib.compress(b"\0" * 52)
    frames = b"".join(
        chunk(b"fcTL", struct.pack(">I", 2 * number + 1) + frame[4:]) + chunk(b"fdAT", struct.pack(">I", 2 * number + 2) + pixels)
        for number in range(10_000)
    )
    whole = png(4, 4, chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)), chunk(b"fcTL", frame), pixels=pixels)
    return whole[:-12] + frames + whole[-12:]


def gif(width: int, height: int, *frames: tuple[int, int]) -> bytes:
    """A GIF of a size whose frames have sizes of their own, with hardly a pixel in them."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    before, pixel = b"!\xf9\x04\0\x0a\0\0\0,\0\0\0\0", b"\x02\x02D\x01\0"
    return screen + b"".join(before + struct.pack("<HHB", *size, 0) + pixel for size in frames) + b";"


def gif_with_many_frames() -> bytes:
    """Two hundred thousand frames."""
    return gif(1, 1, *[(1, 1)] * 200_000)


def _gif_of_pixels() -> bytes:
    out = io.BytesIO()
    Image.new("P", (10, 10)).save(out, "GIF")
    return out.getvalue()


def gif_with_many_comments() -> bytes:
    """Half a million comments, which are put together one after another."""
    whole = _gif_of_pixels()
    at = whole.index(b",\0\0\0\0")
    return whole[:at] + b"!\xfe\x0a0123456789\0" * 500_000 + whole[at:]


def gif_that_grows() -> bytes:
    """A second frame far larger than the picture, all of its pixels there."""
    out = io.BytesIO()
    Image.new("P", (8000, 8000)).save(out, "GIF")
    large = out.getvalue()
    return _gif_of_pixels()[:-1] + large[large.index(b",\0\0\0\0") :]


def webp(width: int, height: int) -> bytes:
    """A WebP whose headers claim a size, of a picture that it can hold."""
    out = io.BytesIO()
    Image.new("RGBA", (16, 16)).save(out, "WEBP", save_all=True, append_images=[Image.new("RGBA", (16, 16), "red")])
    data = bytearray(out.getvalue())
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def webp_huge() -> bytes:
    """A canvas of 268 million pixels around two frames of 256."""
    return webp(16_383, 16_383)


def avif_huge() -> bytes:
    """A header of four billion pixels before a picture of 256."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "AVIF")
    data = bytearray(out.getvalue())
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", 65_535, 65_535)
    return bytes(data)


def tiff(*tags: tuple[int, int, int, int], data: bytes = b"") -> bytes:
    """A TIFF of tags (number, type, count, value), with data behind its only directory, which leads to itself."""
    directory = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + struct.pack("<I", 8) + data


def _tiff_of(width: int, height: int, *more: tuple[int, int, int, int], packed: int, data: bytes) -> bytes:
    own = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, packed), (262, 3, 1, 1), (277, 3, 1, 1)]
    tags = [*own, *more]
    at = 8 + 2 + 12 * len(tags) + 4
    return tiff(*((tag, kind, count, at if value < 0 else value) for tag, kind, count, value in tags), data=data)


def tiff_with_a_huge_tile() -> bytes:
    """A picture of 256 pixels in a tile of a billion."""
    packed = zeros(64 * MEGA)
    tags = ((322, 4, 1, 32_000), (323, 4, 1, 32_000), (324, 4, 1, -1), (325, 4, 1, len(packed)))
    return _tiff_of(16, 16, *tags, packed=8, data=packed)


def tiff_with_a_huge_strip() -> bytes:
    """A picture of 256 pixels in a strip of 256 megabytes."""
    packed = zeros(256 * MEGA)
    return _tiff_of(16, 16, (273, 4, 1, -1), (278, 4, 1, 2**31 - 1), (279, 4, 1, len(packed)), packed=8, data=packed)


def tiff_with_many_strips() -> bytes:
    """A directory that says to have a billion strips."""
    return _tiff_of(16, 16, (273, 4, 1 << 30, -1), (278, 4, 1, 1), (279, 4, 1 << 30, -1), packed=1, data=b"\0" * 1000)


def tiff_with_a_huge_tag() -> bytes:
    """A comment of four gigabytes, and a profile of as many, neither of them there."""
    tags = ((270, 2, 0xFFFFFFFF, 8), (273, 4, 1, -1), (278, 4, 1, 16), (279, 4, 1, 256), (34675, 7, 0xFFFFFFFF, 8))
    return _tiff_of(16, 16, *tags, packed=1, data=b"\0" * 256)


def jpeg_with_many_segments() -> bytes:
    """A hundred megabytes of comments and of pieces of a profile."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "JPEG")
    data = out.getvalue()
    body = b"x" * 60_000
    comment = b"\xff\xfe" + struct.pack(">H", len(body) + 2) + body
    piece = b"ICC_PROFILE\0\1\xff" + body
    profile = b"\xff\xe2" + struct.pack(">H", len(piece) + 2) + piece
    return data[:2] + comment * 850 + profile * 850 + data[2:]


def jpeg_huge() -> bytes:
    """A header of four billion pixels."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "JPEG")
    data = out.getvalue()
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", 65_500, 65_500) + data[at + 4 :]


def bmp_packed() -> bytes:
    """Runs of one pixel, for a billion of them."""
    header = struct.pack("<IiiHHIIiiII", 40, 30_000, 30_000, 1, 8, 1, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + 40 + 1024) + header + b"\0" * 1024 + b"\xff\0" * 100_000


def ppm_huge() -> bytes:
    """A size of ten billion pixels."""
    return b"P6 100000 100000 255\n" + b"\0" * 1000


BOMBS: tuple[Callable[[], bytes], ...] = (
    *(
        png_with_many_chunks,
        png_with_many_names,
        png_with_many_pieces,
        png_with_much_text,
        png_with_text_just_below,
        png_with_a_profile,
        png_with_exif,
        most_exif,
    ),
    *(png_with_pixels_too_many, png_huge, png_black, apng_with_many_frames),
    *(gif_with_many_frames, gif_with_many_comments, gif_that_grows, webp_huge, avif_huge),
    *(tiff_with_a_huge_tile, tiff_with_a_huge_strip, tiff_with_many_strips, tiff_with_a_huge_tag),
    *(jpeg_with_many_segments, jpeg_huge, bmp_packed, ppm_huge),
)


def main(path: Path, backends: list[str]) -> None:
    """Open a file as the task does, and say what became of it; what one loads, another has."""
    from streamq.config import load
    from streamq.config.schema import Limits
    from streamq.images.backends import scaler
    from streamq.images.errors import ImageError
    from streamq.images.pipeline import make
    from streamq.images.work import plan

    Image.init()
    scalers = {backend: scaler(load(overrides={"images.backend": backend}, environ={})) for backend in backends}
    # Small enough for libvips to be asked where it is the backend: what is not to become smaller is Pillow's.
    works = [plan({"source": path.name, "operation": "thumbnail", "width": 2, "format": name}) for name in ("gif", "jpeg")]
    before = _peak()
    for backend, scale in scalers.items():
        for work in works:
            try:
                with path.open("rb") as stream:
                    end = f"made {make(stream, path.stat().st_size, work, Limits(), path.name, scale).size}"
            except ImageError as error:
                end = error.what
            print(json.dumps({"backend": backend, "end": end, "grown": _peak() - before}))  # noqa: T201


def _peak() -> int:
    """Of this program; `ru_maxrss` would begin with what the process had that started it."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) * 1024 for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
