"""How a site makes the pages its own: links, images, and the style sheet that its settings add."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

#: The grounds of the pages in light and dark (`phone_verify.css`), and WCAG's contrast for text (1.4.3).
_WHITE, _DARK_SHEET, _INK = (255, 255, 255), (0x15, 0x1E, 0x1C), (0x10, 0x18, 0x16)
_LEAST_CONTRAST = 4.5

_Color = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Brand:
    """The site's own links and looks. Addresses are paths of the site or https; `color` is `#rrggbb`."""

    url: str = ""
    logo: str = ""
    icon: str = ""
    color: str = ""
    radius: str = ""
    font: str = ""
    terms_url: str = ""
    privacy_url: str = ""
    help_url: str = ""
    cost_notice: bool = False

    @property
    def styled(self) -> bool:
        """Whether the settings add a style sheet to the pages'."""
        return bool(self.color or self.radius or self.font)

    @property
    def sources(self) -> Mapping[str, str]:
        """The sources that the Content-Security-Policy needs for images and a font of other hosts."""
        images = {_origin(address) for address in (self.logo, self.icon)} - {""}
        fonts = _origin(self.font) or "'self'" if self.font else ""
        return {"img-src": "".join(f" {origin}" for origin in sorted(images)), "font-src": fonts}

    def style_sheet(self) -> str:
        """Return the custom properties of these settings, as CSS.

        The colour is darkened on the light ground and lightened on the dark one until it has the
        contrast of text.
        """
        rules = []
        if self.font:
            rules.append(f'@font-face {{ font-family: "pv-site"; src: url("{self.font}"); font-display: swap; }}')
            rules.append(':root { --pv-site-font: "pv-site"; }')
        if self.radius:
            rules.append(f":root {{ --pv-radius: {self.radius}; }}")
        if self.color:
            color = _parsed(self.color)
            rules.append(f":root {{ {_properties(_readable(color, _WHITE, (0, 0, 0)), _WHITE, _WHITE)} }}")
            dark = _properties(_readable(color, _DARK_SHEET, _WHITE), _DARK_SHEET, _INK)
            rules.append(f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}")
        return "\n".join([*rules, ""])


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _properties(accent: _Color, ground: _Color, on_accent: _Color) -> str:
    strong = _mixed(accent, (0, 0, 0) if ground == _WHITE else _WHITE, 0.2)
    values = {"accent": accent, "accent-strong": strong, "on-accent": on_accent, "soft": _mixed(ground, accent, 0.12)}
    return " ".join(f"--pv-{name}: {_written(color)};" for name, color in values.items())


def _readable(color: _Color, ground: _Color, toward: _Color) -> _Color:
    """Return the color, moved `toward` black or white in steps until text in it is readable on the ground.

    Also on the soft ground of messages, which is mixed from both.
    """
    for step in range(21):
        moved = _mixed(color, toward, step / 20)
        if _contrast(moved, _mixed(ground, moved, 0.12)) >= _LEAST_CONTRAST:
            return moved
    return toward


def _parsed(text: str) -> _Color:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _written(color: _Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _mixed(one: _Color, other: _Color, share: float) -> _Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _contrast(one: _Color, other: _Color) -> float:
    """Return the contrast ratio of WCAG 2."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: _Color) -> float:
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in (c / 255 for c in color)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
