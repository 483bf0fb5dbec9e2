"""The animated picture of the demo: how frames are joined, and the file in the README."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from docsite.demo_picture import MAX_BYTES, TARGET, animated

ROOT = Path(__file__).parents[1]


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def picture(grey: int) -> bytes:
    """Return a PNG of one pixel."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes([0, grey])))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def names(content: bytes) -> list[bytes]:
    """Return the names of the chunks, whose checksums must be right."""
    at, found = 8, []
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        name, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", content, at + 8 + length) == (zlib.crc32(name + data),)
        found.append(name)
        at += length + 12
    return found


def test_frames_are_joined_to_an_animated_png() -> None:
    joined = animated([(picture(1), 100), (picture(2), 200)])
    assert names(joined) == [b"IHDR", b"acTL", b"fcTL", b"IDAT", b"fcTL", b"fdAT", b"IEND"]
    assert struct.pack(">IIHHBB", 0, 0, 200, 1000, 0, 0) in joined


def test_readme_shows_a_small_animated_picture() -> None:
    content = TARGET.read_bytes()
    assert len(content) < MAX_BYTES
    assert names(content).count(b"fcTL") >= 5
    address = f"https://raw.githubusercontent.com/phone-verify/phone-verify/main/{TARGET.relative_to(ROOT)}"
    assert f"]({address})" in (ROOT / "README.md").read_text("utf-8")
