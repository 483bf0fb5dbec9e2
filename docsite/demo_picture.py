"""Makes the animated picture of the demo in the README: `python -m docsite.demo_picture`.

It runs the demo, takes screenshots with Chromium (named by PHONE_VERIFY_TEST_CHROMIUM, else
`chromium`), and joins them to an animated PNG.
"""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from phone_verify.cli.demo import Demo, next_free_port

TARGET = Path(__file__).parents[1] / "docs" / "images" / "demo_flow.png"
MAX_BYTES = 1_000_000
PHONE = "+98 912 000 0000"
WIDTH, HEIGHT = 1000, 640
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def animated(frames: Sequence[tuple[bytes, int]]) -> bytes:
    """Join PNG pictures of one size, each shown for its milliseconds, to an animated PNG that
    repeats.
    """
    first = dict(reversed(list(_chunks(frames[0][0]))))
    header = first[b"IHDR"]
    made = [_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"acTL", struct.pack(">II", len(frames), 0))]
    number = 0
    for index, (picture, milliseconds) in enumerate(frames):
        control = struct.pack(">I", number) + header[:8] + struct.pack(">IIHHBB", 0, 0, milliseconds, 1000, 0, 0)
        made.append(_chunk(b"fcTL", control))
        number += 1
        data = b"".join(content for name, content in _chunks(picture) if name == b"IDAT")
        data = zlib.compress(zlib.decompress(data), 9)
        if index == 0:
            made.append(_chunk(b"IDAT", data))
        else:
            made.append(_chunk(b"fdAT", struct.pack(">I", number) + data))
            number += 1
    return b"".join([*made, _chunk(b"IEND", b"")])


def _chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(picture):
        (length,) = struct.unpack_from(">I", picture, at)
        yield picture[at + 4 : at + 8], picture[at + 8 : at + 8 + length]
        at += length + 12


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def scenes(tab: Any, demo: Demo) -> Iterator[int]:
    """Use the demo; yield at each moment to show, with its milliseconds."""
    site = tab.frame_locator("iframe").first
    tab.goto(demo.url)
    site.get_by_role("link", name="Sign in with your phone").wait_for()
    tab.get_by_text("Live", exact=True).wait_for()
    yield 2000
    tab.get_by_role("button", name="Close tour").click()
    site.get_by_role("link", name="Sign in with your phone").click()
    site.locator("[name=phone]").fill(PHONE)
    yield 1500
    site.locator("[name=phone]").press("Enter")
    tab.locator(".bubble strong").wait_for()
    yield 2000
    site.locator("[name=code]").fill(tab.locator(".bubble strong").inner_text())
    yield 1200
    site.locator("[name=code]").press("Enter")
    site.get_by_role("button", name="Sign out").wait_for()
    yield 2000
    for channel in ("flash_call", "inbound_call"):
        site.get_by_role("button", name="Sign out").click()
        site.get_by_role("link", name="Sign in with your phone").click()
        site.locator("[name=phone]").fill(PHONE)
        site.locator(f"[name=channel][value={channel}]").check()
        site.locator("[name=phone]").press("Enter")
        if channel == "flash_call":
            tab.locator(".ringing .who strong").wait_for()
            yield 2200
            site.locator("[name=code]").fill(tab.locator(".ringing .who strong").inner_text())
            yield 1200
            site.locator("[name=code]").press("Enter")
        else:
            tab.locator(".reject").click()
            tab.locator(".call-now").wait_for()
            site.get_by_role("heading", name="Call to verify").wait_for()
            yield 2200
            tab.locator(".call-now").click()
        site.get_by_role("button", name="Sign out").wait_for()
        yield 2000


def main() -> None:
    """Write the picture."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("PHONE_VERIFY_TEST_CHROMIUM") or shutil.which("chromium")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    ports: list[int] = []
    for first in (8025, 8000, 8001):
        ports.append(next_free_port(first, ports))
    with Demo(ports[0], {"django": ports[1], "flask": ports[2]}) as demo, sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=flags)
        tab = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, reduced_motion="reduce", color_scheme="light", locale="en-GB"
        )
        frames = [(tab.screenshot(caret="hide"), milliseconds) for milliseconds in scenes(tab, demo)]
        browser.close()
    picture = animated(frames)
    if len(picture) > MAX_BYTES:
        raise SystemExit(f"the picture has {len(picture)} bytes; at most {MAX_BYTES} are allowed")
    TARGET.write_bytes(picture)


if __name__ == "__main__":
    main()
