"""A QR code of our own: a picture from the provider would tell the provider who looks at our page."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=256)
def svg_data_uri(text: str) -> str:
    """`text` as a QR code, a `data:` URI of an SVG with a quiet zone, dark on white in light and dark pages."""
    import segno

    # Error level M: the symbol is read from a screen, often through a scratched lens.
    code = segno.make(text, error="m", micro=False)
    return code.svg_data_uri(scale=4, border=4, dark="#000", light="#fff", omitsize=True)
