"""QR codes, generated here: a provider's picture would reveal our visitors to the provider."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=256)
def svg_data_uri(text: str) -> str:
    """Return `text` as a QR code: a `data:` URI of an SVG with a quiet zone.

    It is dark on white in light and dark pages.
    """
    import segno

    # Error level M: the symbol is read from a screen, often through a scratched lens.
    code = segno.make(text, error="m", micro=False)
    return code.svg_data_uri(scale=4, border=4, dark="#000", light="#fff", omitsize=True)
