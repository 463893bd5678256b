"""Files that are small and ask for much, and files that are no images: refused, in little memory and time, and nothing is run."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from streamq.images.errors import BadImage
from streamq.images.formats import FORMATS
from tests.security.bombs import BOMBS
from tests.unit.images.pictures import encoded, made, photo

ROOT = Path(__file__).parents[2]
#: By how much the peak of memory may rise beyond the file's own size, in bytes.
MOST = 16 << 20


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_a_bomb_does_not_go_off(tmp_path: Path, bomb: Callable[[], bytes]) -> None:
    """In a process of its own, whose peak of memory is measured; by each backend that would open it."""
    path = tmp_path / bomb.__name__
    path.write_bytes(bomb())
    backends = ["pillow", *(["vips"] if bomb.__name__.startswith(("png", "jpeg", "webp", "apng")) else [])]
    command = [sys.executable, "-m", "tests.security.bombs", str(path), *backends]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["backend"] for each in told] == [backend for backend in backends for _ in ("gif", "jpeg")]
    assert max(each["grown"] for each in told) < MOST + path.stat().st_size, told


#: Formats that run code, load other files, or are read by decoders that nobody asked for; each with what makes it known.
STRANGERS = {
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd"/></svg>',
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(/tmp/streamq-eps) (w) file\nshowpage\n%%EOF\n",
    "ps": b"%!PS\n(%pipe%touch /tmp/streamq-ps) (w) file\nshowpage\n",
    "pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n%%EOF\n",
    "wmf": b"\xd7\xcd\xc6\x9a" + b"\0" * 40,
    "emf": b"\x01\0\0\0" + b"\0" * 36 + b" EMF" + b"\0" * 60,
    "xpm": b'/* XPM */\nstatic char *x[] = {\n"1 1 1 1",\n"a c #000000",\n"a"\n};\n',
    "xbm": b"#define x_width 8\n#define x_height 1\nstatic char x_bits[] = {\n0x00};\n",
    "mvg": b"push graphic-context\nviewbox 0 0 9 9\nimage over 0,0 0,0 'https://example.com/x.jpg\"|ls'\npop graphic-context\n",
    "html": b"<html><script>alert(1)</script></html>",
    "psd": b"8BPS\0\x01" + b"\0" * 6 + b"\0\x03\0\0\0\x09\0\0\0\x09\0\x08\0\x03" + b"\0" * 60,
    "fits": b"SIMPLE  =                    T" + b" " * 50 + b"END" + b" " * 2800,
    "zlib": zlib.compress(b"x"),
    "python": b"import os\nos.system('touch /tmp/streamq-python')\n",
    **{
        kind.lower(): encoded(photo().resize((16, 16)), kind)
        for kind in ("ICO", "JPEG2000", "PCX", "TGA", "DDS", "EPS", "PDF", "SGI", "QOI")
    },
}


_OUTSIDE = {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.system", "socket.connect"}
_watching: list[bool] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _watching and event in _OUTSIDE:
        raise AssertionError(f"{event}{arguments}")


sys.addaudithook(_watch)


@pytest.fixture
def _nothing_is_run() -> Iterator[None]:
    """Whoever starts a program or opens a connection meanwhile fails the test."""
    _watching.append(True)
    yield
    _watching.clear()


@pytest.mark.usefixtures("_nothing_is_run")
@pytest.mark.parametrize("stranger", STRANGERS)
def test_no_other_format_is_opened_whatever_the_file_is_called(stranger: str) -> None:
    """The content counts, and only the formats of the list are ever tried: no Ghostscript, no network."""
    for extension in [extension for each in FORMATS.values() for extension in each.extensions]:
        with pytest.raises(BadImage, match=r"is no image, or of no format that is read|is broken|more pixels"):
            made(STRANGERS[stranger], source=f"a.{extension}", operation="flip")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "PPM"])
def test_a_large_picture_of_a_real_encoder_is_read(kind: str) -> None:
    """The bound on pieces is far from what honest files have."""
    large = Image.effect_noise((2500, 2000), 90).convert("P" if kind == "GIF" else "RGB")
    quickly: dict[str, dict[str, Any]] = {"AVIF": {"speed": 10}, "PNG": {"compress_level": 1}, "WEBP": {"method": 0}}
    assert made(encoded(large, kind, **quickly.get(kind, {})), operation="thumbnail", width=100).size == (100, 80)


def test_a_packed_bitmap_is_read() -> None:
    """Its runs are read one by one, however many."""
    wide, high = 600, 400
    row = b"".join(bytes((1, column % 2)) for column in range(wide)) + b"\0\0"
    header = struct.pack("<IiiHHIIiiII", 40, wide, high, 1, 8, 1, 0, 0, 0, 256, 0)
    data = b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + 40 + 1024) + header + bytes(1024) + row * high + b"\0\1"
    assert made(data, operation="flip").size == (wide, high)
