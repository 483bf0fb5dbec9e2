"""The settings that give the pages the look of the site."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from phone_verify import ConfigurationError, Settings, build_site
from phone_verify.http.brand import Brand, _contrast, _mixed, _parsed
from phone_verify.http.page_headers import page_headers
from phone_verify.http.site import Site
from phone_verify.web.assets import BRAND_STYLE, site_asset
from tests.cases import in_one_test
from tests.core.harness import Harness, sms

ADDRESSES = ["site_url", "site_logo", "site_icon", "site_font", "terms_url", "privacy_url", "help_url"]
KEY = "a-key-of-the-tests-0123456789abcdef"


def policy_of(**values: object) -> str:
    site = build_site(Settings.from_mapping({"store": "memory:", "secret_keys": KEY, **values}))
    return page_headers(site)["Content-Security-Policy"]


@in_one_test
@pytest.mark.parametrize("setting", ADDRESSES)
@pytest.mark.parametrize(
    "text",
    ["javascript:alert(1)", "//evil.example", "http://shop.example/a", "data:image/png;base64,x", "about", "/a b",
     '/"x', "/a;x", "https://user@shop.example/", "https://shop.example/'x", "/\\evil.example", "https://"],
)  # fmt: skip
def test_addresses_of_the_brand_are_paths_or_https(setting: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_{setting.upper()}: use a path"):
        Settings.from_mapping({setting: text})


@in_one_test
@pytest.mark.parametrize("setting", ADDRESSES)
@pytest.mark.parametrize("text", ["/", "/about/?a=1", "https://shop.example", "https://cdn.shop.example:8443/x.svg"])
def test_paths_and_https_addresses_are_accepted(setting: str, text: str) -> None:
    assert text in repr(Settings.from_mapping({setting: text}).brand)


def test_help_may_be_an_email_address() -> None:
    assert Settings.from_mapping({"help_url": "mailto:help@shop.example"}).brand.help_url == "mailto:help@shop.example"
    with pytest.raises(ConfigurationError, match="TERMS_URL"):
        Settings.from_mapping({"terms_url": "mailto:help@shop.example"})


@pytest.mark.parametrize(
    ("setting", "text"),
    [("site_color", "red"), ("site_color", "#fff"), ("site_color", "#123456;}"), ("site_radius", "8"),
     ("site_radius", "8px;x"), ("cost_notice", "maybe")],
)  # fmt: skip
def test_other_brand_settings_are_validated(setting: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_{setting.upper()}"):
        Settings.from_mapping({setting: text})


def test_policy_names_only_hosts_of_the_brand() -> None:
    plain = policy_of()
    assert "img-src 'self' data:; " in plain
    assert "font-src" not in plain
    assert policy_of(site_logo="/logo.svg", site_icon="/icon.svg") == plain
    other = policy_of(site_logo="https://cdn.example/logo.svg", site_font="https://fonts.example/a.woff2")
    assert "img-src 'self' data: https://cdn.example; " in other
    assert "font-src https://fonts.example; " in other
    assert "font-src 'self'; " in policy_of(site_font="/a.woff2")


@pytest.mark.parametrize("color", ["#ffffff", "#000000", "#ffee00", "#5b21b6", "#0b6b5d", "#ff0000"])
def test_any_color_is_made_readable_in_light_and_dark(color: str) -> None:
    css = Brand(color=color).style_sheet()
    light, dark = (re.findall(r"--pv-accent: (#\w+);", part)[0] for part in css.split("@media"))
    for accent, sheet in ((light, (255, 255, 255)), (dark, (0x15, 0x1E, 0x1C))):
        assert _contrast(_parsed(accent), sheet) >= 4.5
        assert _contrast(_parsed(accent), _mixed(sheet, _parsed(accent), 0.12)) >= 4.5
    assert _contrast(_parsed(light), (255, 255, 255)) >= 4.5  # the text of a button


def test_style_sheet_exists_only_with_settings() -> None:
    site = Site(Harness(sms()).verifier)
    assert site_asset(BRAND_STYLE, replace(site, brand=Brand(url="/"))) is None
    styled = site_asset(BRAND_STYLE, replace(site, brand=Brand(radius="4px", font="/a.woff2")))
    assert styled is not None
    assert b"--pv-radius: 4px" in styled[0]
    assert b'src: url("/a.woff2")' in styled[0]
    assert styled[1] == "text/css; charset=utf-8"
    assert site_asset("phone_verify.css", site) is not None


def test_policy_names_the_sources_of_a_captcha() -> None:
    policy = policy_of(captcha_sources="https://challenges.cloudflare.com,https://*.hcaptcha.com")
    sources = "https://challenges.cloudflare.com https://*.hcaptcha.com"
    for name in ("script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-src"):
        assert f"{name} {sources}; " in policy
    assert "frame-src" not in policy_of()
