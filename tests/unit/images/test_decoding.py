"""From files to upright pixels in sRGB: orientation, modes, profiles, limits, and files that are broken or lie."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw, ImageEnhance

from streamq.config.schema import Limits
from streamq.images.errors import BadImage, BadOperation, ImageError
from streamq.images.formats import FORMATS
from tests.unit.images.pictures import STORED, difference, encoded, lying, made, photo, photo_as

GRAVITIES = ["north", "northeast", "southwest", "center"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_picture_is_upright_however_its_camera_was_held(kind: str, orientation: int) -> None:
    """All eight orientations, with the result's width and height as they are seen, and cut where they are seen."""
    upright = photo("rocket").crop((0, 0, 600, 400)).resize((300, 200))
    data = lying(upright, orientation, kind, **({"quality": 95} if kind in ("JPEG", "WEBP", "AVIF") else {}))
    expected = made(encoded(upright, "PNG"), operation="resize", width=30, height=75, gravity="northeast")
    assert expected.size == (30, 75)
    assert difference(made(data, operation="resize", width=30, height=75, gravity="northeast"), expected) < 5
    assert difference(made(data, operation="convert"), upright) < 8


@cache
def odd(orientation: int) -> bytes:
    """A JPEG whose sides no decoder divides, stored turned."""
    return lying(photo("astronaut").resize((619, 457)), orientation, "JPEG", quality=97)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("gravity", GRAVITIES)
@pytest.mark.parametrize("width", [20, 65, 140, 250])
def test_a_jpeg_decoded_small_looks_like_one_decoded_whole(orientation: int, gravity: str, width: int) -> None:
    """Decoding at a half, a quarter or an eighth moves nothing: a shift of a part of a pixel would be seen here."""
    data = odd(orientation)
    small = made(data, operation="resize", width=width, height=width // 2, gravity=gravity)
    whole = made(
        data, steps=[{"operation": "strip"}, {"operation": "resize", "width": width, "height": width // 2, "gravity": gravity}]
    )
    assert difference(small, whole) < 4


def test_a_jpeg_decoded_small_is_not_stretched() -> None:
    """An eighth of 137 pixels is 17.1; the decoder gives 18, of which the last one is mostly nothing."""
    ramp = Image.linear_gradient("L").rotate(90).resize((137, 73))
    for width, height in ((8, 4), (16, 9), (32, 17)):
        small = made(encoded(ramp, "JPEG", quality=98), operation="resize", width=width, height=height, fit="fill")
        assert difference(small, ramp.resize((width, height), Image.Resampling.LANCZOS)) < 3


@cache
def in_mode(mode: str) -> Image.Image:
    """The photograph in a mode of Pillow's, with a round mask where the mode has transparency; nobody changes it."""
    color, gray = photo(), np.asarray(photo().convert("L"))
    if mode in WIDE:
        kind, factor = WIDE[mode]
        return Image.fromarray((gray * np.array(factor, kind)).astype(kind))
    if mode == "LAB":
        image = ImageCms.profileToProfile(color, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")
        assert image is not None
        return image
    image = color.quantize(256) if mode == "P" else color.convert(mode)
    if mode in ("LA", "RGBA"):
        mask = Image.new("L", color.size)
        ImageDraw.Draw(mask).ellipse((30, 30, 480, 480), fill=255)
        image.putalpha(mask)
    return image


#: Mode -> type of its numbers, and what a byte is multiplied by.
WIDE: dict[str, tuple[str, float]] = {"I;16": ("<u2", 257), "I;16B": (">u2", 257), "I": ("<i4", 257), "F": ("<f4", 1 / 255)}
MODES = [
    ("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGB", "PNG"), ("RGBA", "PNG"), ("I;16", "PNG"), ("I;16", "TIFF"),
    ("I;16B", "TIFF"), ("I", "TIFF"), ("F", "TIFF"), ("LAB", "TIFF"), ("CMYK", "TIFF"), ("CMYK", "JPEG"), ("YCbCr", "JPEG"),
    ("L", "JPEG"), ("RGBA", "TIFF"), ("P", "GIF"), ("RGBA", "WEBP"), ("P", "BMP"), ("L", "PPM"), ("RGBA", "AVIF"),
]  # fmt: skip


@cache
def in_mode_as(mode: str, kind: str) -> bytes:
    """Its file in a format, made once."""
    return encoded(in_mode(mode), kind)


@pytest.mark.parametrize(("mode", "kind"), MODES)
@pytest.mark.parametrize("target", FORMATS)
def test_every_mode_becomes_every_format_and_looks_the_same(mode: str, kind: str, target: str) -> None:
    """Palettes, CMYK, 16 bits, floats, transparency: the picture stays what it was."""
    source = in_mode(mode)
    small = made(in_mode_as(mode, kind), operation="thumbnail", width=128, height=128, format=target, quality=95)
    base = photo() if mode in ("P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB") else photo().convert("L")
    expected = base.resize((128, 128), Image.Resampling.LANCZOS).convert("RGB")
    if mode in ("LA", "RGBA"):
        mask = source.getchannel("A").resize((128, 128), Image.Resampling.LANCZOS)
        if FORMATS[target].alpha:
            seen = small.convert("RGBA")
            assert difference(seen.getchannel("A").convert("L"), mask) < 12
            small = Image.new("RGB", seen.size, "white")
            small.paste(seen, mask=seen.getchannel("A"))
        white = Image.new("RGB", expected.size, "white")
        white.paste(expected, mask=mask)
        expected = white
    assert difference(small, expected) < (25 if mode == "1" else 14)


def test_a_palette_with_transparency_stays_transparent() -> None:
    """One index of the palette, or an alpha for each, or a colour that stands for nothing."""
    image = Image.new("P", (8, 8), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.paste(1, (0, 0, 4, 8))
    for transparency in (1, b"\xff\x00"):
        result = made(encoded(image, "PNG", transparency=transparency), operation="flip").convert("RGBA")
        assert result.getpixel((7, 0))[3] == 0  # type: ignore[index]
        assert result.getpixel((0, 0)) == (255, 0, 0, 255)
    color = Image.new("RGB", (8, 8), "red")
    assert made(encoded(color, "PNG", transparency=(255, 0, 0)), operation="flip").getpixel((0, 0)) == (255, 0, 0, 0)


def test_transparent_pixels_lend_their_colour_to_nobody() -> None:
    """A white disc on transparent black keeps white edges when it is scaled and blurred."""
    image = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((20, 20, 180, 180), fill="white")
    changes: list[dict[str, Any]] = [{"operation": "thumbnail", "width": 50}, {"operation": "blur", "radius": 4}]
    for arguments in changes:
        result = np.asarray(made(encoded(image, "PNG"), **arguments))
        assert result[result[..., 3] > 8][:, :3].min() > 240


@pytest.mark.parametrize(("values", "expected"), [((0, 32768, 65535), (0, 128, 255)), ((0, 256, 513), (0, 1, 2))])
def test_sixteen_bits_are_scaled_not_clipped(values: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """65535 is white, whatever the picture's brightest pixel is."""
    image = Image.fromarray(np.array([values], dtype="uint16"))
    assert np.asarray(made(encoded(image, "PNG"), operation="convert")).tolist() == [list(expected)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0, 0.5, 1), (0, 128, 255)), ((0, 100, 200), (0, 100, 200)), ((-10, 0, 10), (0, 128, 255)), ((7, 7, 7), (7, 7, 7))],
)
def test_floats_are_taken_for_what_they_look_like(values: tuple[float, ...], expected: tuple[int, ...]) -> None:
    """0 to 1, 0 to 255, or from the darkest pixel to the brightest."""
    image = Image.fromarray(np.array([values], dtype="float32"))
    assert np.asarray(made(encoded(image, "TIFF"), operation="convert")).tolist() == [list(expected)]


def test_pixels_that_are_no_numbers_are_refused() -> None:
    """They have no brightness."""
    image = Image.fromarray(np.array([[1, float("nan")], [float("inf"), 2]], dtype="float32"))
    with pytest.raises(BadImage, match="not a finite number"):
        made(encoded(image, "TIFF"), operation="convert")


def wide_gamut() -> bytes:
    """An RGB profile whose primaries lie further out than those of sRGB, as Display P3 and Adobe RGB have them."""
    return profile("RGB ", red=(0.60974, 0.31111, 0.01947), green=(0.20528, 0.62567, 0.06087), blue=(0.14919, 0.06322, 0.74457))


def profile(space: str, **colorants: tuple[float, float, float]) -> bytes:
    """A profile with a gamma of 2.2, by the ICC specification."""

    def s15(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65_536)) for value in values)

    name = b"Test wide"
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" + b"\0" * 79
    tags = {b"desc": text + b"\0" * (-len(text) % 4), b"wtpt": b"XYZ \0\0\0\0" + s15(0.9642, 1, 0.8249)}
    tags |= dict.fromkeys(((b"rTRC", b"gTRC", b"bTRC") if colorants else (b"kTRC",)), curve)
    tags |= {f"{each[0]}XYZ".encode(): b"XYZ \0\0\0\0" + s15(*values) for each, values in colorants.items()}
    offset, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", offset + len(body), len(data))
        body += data
    header = bytearray(128)
    header[8:12], header[12:24] = b"\x02\x40\0\0", b"mntr" + space.encode() + b"XYZ "
    header[36:40], header[68:80] = b"acsp", s15(0.9642, 1, 0.8249)
    header[0:4] = struct.pack(">I", offset + len(body))
    return bytes(header) + table + body


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("target", ["jpeg", "png", "webp", "avif", "tiff"])
def test_a_wide_gamut_picture_keeps_its_colours(kind: str, target: str) -> None:
    """Its numbers change so that what is seen does not: it is in sRGB, and no profile goes along."""
    wide = ImageCms.ImageCmsProfile(io.BytesIO(wide_gamut()))
    # Large flat patches, so that nothing but colour makes a difference.
    original = ImageEnhance.Color(photo().resize((4, 4))).enhance(3).resize((128, 128), Image.Resampling.NEAREST)
    stored = ImageCms.profileToProfile(original, ImageCms.createProfile("sRGB"), wide, outputMode="RGB")
    assert stored is not None
    options: dict[str, Any] = {"quality": 97} if kind in ("JPEG", "WEBP", "AVIF") else {}
    data = encoded(stored, kind, icc_profile=wide_gamut(), **options)
    result = made(data, operation="strip", format=target, quality=95)
    assert difference(result, original) < 6
    assert difference(stored, original) > 8
    assert "icc_profile" not in result.info


def test_profiles_of_gray_and_of_other_channels() -> None:
    """One for gray is applied to gray; one that belongs to other channels, or is broken, is ignored."""
    gray = photo().convert("L").resize((64, 64))
    applied = made(encoded(gray, "PNG", icc_profile=profile("GRAY")), operation="strip")
    assert applied.mode == "L"
    assert 0 < difference(applied, gray) < 12
    for wrong in (wide_gamut(), b"no profile", profile("GRAY")[:150]):
        assert difference(made(encoded(gray, "PNG", icc_profile=wrong), operation="strip"), gray) == 0
    with_alpha = gray.convert("LA")
    assert made(encoded(with_alpha, "PNG", icc_profile=profile("GRAY")), operation="strip").mode == "LA"


def test_one_transform_serves_many_threads() -> None:
    """Every thread gets the same pixels from it."""
    data = encoded(photo().resize((256, 256)), "PNG", icc_profile=wide_gamut())
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: made(data, operation="strip").tobytes(), range(24)))
    assert len(set(results)) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "PPM"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(kind: str, part: float) -> None:
    """Half a photograph is no photograph."""
    data = photo_as(kind)
    with pytest.raises(BadImage, match="source x is"):
        made(data[: int(len(data) * part)], operation="thumbnail")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "PPM"])
def test_whatever_is_wrong_with_a_file_is_one_error(kind: str) -> None:
    """Bytes are changed at random: the file is read or refused as broken, and nothing else is raised."""
    data, random = encoded(photo().resize((64, 64)), kind), np.random.default_rng(7)
    for _ in range(150):
        broken = bytearray(data)
        for _ in range(random.integers(1, 6)):
            broken[random.integers(0, min(len(data), 2000))] = random.integers(0, 256)
        try:
            made(bytes(broken), Limits(pixels=1_000_000), operation="thumbnail", width=16)
        except ImageError:
            continue


def test_what_is_no_image_is_refused() -> None:
    """An archive, a page, a program, text, nothing at all; also formats that can run code, whatever they are named."""
    files = [b"PK\x03\x04" + b"\0" * 500, b"<!doctype html><html></html>", b"\x7fELF" + b"\0" * 60, b"hello", b"\0" * 1000]
    files += [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"%PDF-1.7\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>"]
    for data in files:
        with pytest.raises(BadImage, match="source x is no image"):
            made(data, operation="thumbnail")
    with pytest.raises(BadImage, match="source x is empty"):
        made(b"", operation="thumbnail")


def png_of(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes that claims a size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def jpeg_of(width: int, height: int) -> bytes:
    """A JPEG whose header claims a size."""
    data = encoded(Image.new("RGB", (16, 16)), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def gif_of(width: int, height: int) -> bytes:
    """A GIF whose header claims a size."""
    data = encoded(Image.new("P", (4, 4)), "GIF")
    return data[:6] + struct.pack("<HH", width, height) + data[10:]


@pytest.mark.parametrize(
    "bomb",
    [png_of(60_000, 60_000), png_of(2**31 - 1, 2**31 - 1), png_of(8_000, 8_000), jpeg_of(65_000, 65_000), gif_of(65_000, 65_000)],
    ids=["png", "png-huge", "png-just-above", "jpeg", "gif"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_small_file_that_claims_to_be_huge_is_refused_before_it_takes_memory(bomb: bytes) -> None:
    """The header is enough to know."""
    tracemalloc.start()
    try:
        with pytest.raises(BadImage, match="pixels"):
            made(bomb, operation="thumbnail")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_file_that_lies_about_its_size_within_the_limits_is_broken() -> None:
    """Its pixels are not there."""
    with pytest.raises(BadImage, match="source x is broken"):
        made(png_of(3000, 3000), operation="thumbnail")


def test_limits_of_sources_and_results() -> None:
    """Bytes and pixels of a source, sides and pixels of a result on the way and at the end."""
    data = encoded(photo(), "JPEG")
    with pytest.raises(BadImage, match=r"more than images\.limits.source_bytes"):
        made(data, Limits(source_bytes=1000), operation="flip")
    with pytest.raises(BadImage, match=r"more than images\.limits.pixels"):
        made(data, Limits(pixels=1000), operation="flip")
    with pytest.raises(BadOperation, match="resize would make 60000x60000 pixels"):
        made(data, operation="resize", width=60_000, enlarge=True)
    with pytest.raises(BadOperation, match="pad would make"):
        made(data, steps=[{"operation": "pad", "width": 16_000, "height": 16_000}, {"operation": "thumbnail"}])
    with pytest.raises(BadOperation, match=r"the result would have 512x512 pixels; images\.limits\.dimension is 500"):
        made(data, Limits(dimension=500), operation="flip")
    with pytest.raises(BadOperation, match="border would make"):
        made(data, operation="border", thickness=10_000)


def test_nothing_that_a_file_says_of_itself_is_passed_on() -> None:
    """No place, no comment, no thumbnail, no resolution: in no format, whether an operation touched the pixels or not."""
    exif = Image.Exif()
    exif[0x010F], exif.get_ifd(0x8825)[1] = "Camera", "N"
    small = photo().resize((64, 64))
    data = encoded(small, "JPEG", exif=exif, comment=b"secret", dpi=(300, 300), icc_profile=wide_gamut())
    tiff = encoded(small, "TIFF", exif=exif)
    for source in (data, tiff):
        for target in FORMATS:
            for operation in ("strip", "flip"):
                result = made(source, operation=operation, format=target)
                assert not {tag for tag in result.getexif() if tag in (0x010F, 0x8825)}
                assert not result.info.keys() & {"comment", "icc_profile", "exif", "xmp"}


def test_mpo_photographs_of_phones_are_read_as_jpeg() -> None:
    """Their first picture is the photograph."""
    data = encoded(photo(), "MPO", save_all=True, append_images=[photo("coffee")])
    assert difference(made(data, operation="thumbnail"), photo().resize((256, 256), Image.Resampling.LANCZOS)) < 6
