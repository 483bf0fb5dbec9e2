"""Cookies and headers of the pages, and refused forms: the rules that both adapters follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from phone_verify.api import ApiRequest, Site
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.errors import ConfigurationError
from phone_verify.http.cookies import COOKIE, DEVICE_COOKIE, _warn_of_plain_http, cookie_arguments, cookie_name
from phone_verify.http.page_headers import page_headers
from phone_verify.web.forms import refused_form
from tests.cases import in_one_test

KEY = "k-key-for-tests-0123456789abcdef"


@pytest.fixture
def site() -> Site:
    return build_site(Settings.from_mapping({"store": "memory:", "secret_keys": KEY}))


def arguments(site: Site, *, https: bool, same_site: object = None, value: str = "x") -> dict[str, Any]:
    return cookie_arguments(site, COOKIE, value, https=https, same_site=same_site)


def test_cookies_carry_the_host_prefix_over_https(site: Site) -> None:
    set_to = arguments(site, https=True)
    assert (set_to["key"], set_to["path"], set_to["secure"]) == ("__Host-phone_verify", "/", True)
    assert set_to["httponly"]
    assert "domain" not in set_to
    assert cookie_name(DEVICE_COOKIE, https=True) == "__Host-phone_verify_device"


def test_cookies_have_no_prefix_without_tls(site: Site) -> None:
    set_to = arguments(site, https=False)
    assert (set_to["key"], set_to["path"], set_to["secure"]) == ("phone_verify", "/", False)
    assert cookie_name(DEVICE_COOKIE, https=False) == "phone_verify_device"


def test_public_https_url_keeps_cookies_off_plain_http(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    _warn_of_plain_http.cache_clear()
    behind = replace(site, public_url="https://site.example")
    for _ in range(2):
        set_to = arguments(behind, https=False)
        assert (set_to["key"], set_to["path"], set_to["secure"]) == ("phone_verify", "/", True)
    assert caplog.text.count("SECURE_PROXY_SSL_HEADER") == 1


@pytest.mark.parametrize(
    ("same_site", "https", "result"),
    [
        ("Lax", True, "Lax"),
        ("Strict", False, "Strict"),
        ("strict", True, "Strict"),
        ("None", True, "None"),
        ("None", False, "Lax"),
        (None, True, "Lax"),
        (False, True, "Lax"),
        ("nonsense", True, "Lax"),
    ],
)
def test_same_site_follows_the_session_cookie(site: Site, same_site: object, https: bool, result: str) -> None:
    assert arguments(site, https=https, same_site=same_site)["samesite"] == result


def test_empty_value_deletes_the_cookie(site: Site) -> None:
    set_to = arguments(site, https=True, value="")
    assert (set_to["key"], set_to["max_age"], set_to["secure"], set_to["path"]) == ("__Host-phone_verify", 0, True, "/")


@pytest.mark.parametrize(
    ("setting", "ancestors", "options"),
    [
        (None, "'none'", "DENY"),
        ("self", "'self'", "SAMEORIGIN"),
        ("https://a.example, https://*.b.example:8443", "https://a.example https://*.b.example:8443", "DENY"),
        (["self", "https://Partner.example/"], "'self' https://partner.example", "SAMEORIGIN"),
        ("http://127.0.0.1:8025", "http://127.0.0.1:8025", "DENY"),
    ],
)  # fmt: skip
def test_frames_are_denied_unless_the_site_allows_them(setting: object, ancestors: str, options: str) -> None:
    values = {"store": "memory:", "secret_keys": KEY, "frame_ancestors": setting}
    headers = page_headers(build_site(Settings.from_mapping(values)))
    assert headers["Content-Security-Policy"].endswith(f"frame-ancestors {ancestors}")
    assert headers["X-Frame-Options"] == options


@in_one_test
@pytest.mark.parametrize(
    "word",
    ["*", "none", "partner.example", "http://partner.example", "https://partner.example/path", "https://a.example;x",
     "https://a.example https://b.example", "https://user@a.example", "null", "https://*"],
)  # fmt: skip
def test_frame_ancestors_must_be_origins(word: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_FRAME_ANCESTORS: use self, or"):
        Settings.from_mapping({"frame_ancestors": [word]})


@pytest.mark.parametrize(
    ("kind", "too_long", "status"),
    [
        ("application/x-www-form-urlencoded", False, None),
        ("", False, None),
        ("application/x-www-form-urlencoded", True, 413),
        ("multipart/form-data; boundary=x", False, 415),
        (" Multipart/Form-Data", True, 415),
    ],
)
def test_large_forms_and_files_are_refused(kind: str, too_long: bool, status: int | None) -> None:
    page = refused_form(
        ApiRequest("POST", "login/", {"content-type": kind, "accept-language": "ru"}), too_long=too_long
    )
    assert (page.status if page else None) == status
    if page is not None:
        assert page.language.tag == "ru"
        assert page.error


class TestAudience:
    """Two sites share secret keys and a store, and neither has a public URL."""

    def audiences(self, framework_keys: list[str], **values: object) -> list[str]:
        settings = Settings.from_mapping({"store": "memory:", "secret_keys": KEY, **values})
        return list(build_site(settings, framework_keys=framework_keys).verifier._flows._parts.audiences)

    def test_audience_differs_between_sites(self) -> None:
        assert self.audiences(["one"]) != self.audiences(["two"])
        assert self.audiences(["one"], site_name="A") != self.audiences(["one"], site_name="B")
        assert self.audiences([], site_name="A") != self.audiences([], site_name="B")

    def test_audience_survives_framework_key_rotation(self) -> None:
        [old], both, [new] = self.audiences(["old"]), self.audiences(["new", "old"]), self.audiences(["new"])
        assert both == [new, old]

    def test_audience_is_the_public_url_if_set(self) -> None:
        assert self.audiences(["one"], public_url="https://site.example") == ["https://site.example"]
