"""Origins: how the setting is read, which requests are refused, and what CORS headers an answer has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone_verify.api import ApiRequest, ApiResponse, Site, cors_headers, handle
from phone_verify.config.origins import read_origin
from phone_verify.config.settings import Settings
from phone_verify.config.site import SiteConfig, build_site
from phone_verify.errors import ConfigurationError
from phone_verify.http.csrf import cross_site
from tests.cases import in_one_test

PUBLIC, APP, EVIL = "https://site.example", "https://app.example", "https://evil.example"
KEY = "a-signing-key-of-this-test-0123456789-abcdef"


@pytest.fixture
def site() -> Site:
    settings = {"secret_keys": KEY, "public_url": PUBLIC, "trusted_origins": f"{APP} , capacitor://localhost"}
    return build_site(Settings.from_mapping(settings))


# The setting


@in_one_test
@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example:443", "https://app.example"),
        ("https://app.example:0443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("http://[0:0::1]:5173", "http://[::1]:5173"),
        ("https://192.0.2.1", "https://192.0.2.1"),
        ("https://xn--e1afmkfd.xn--p1ai", "https://xn--e1afmkfd.xn--p1ai"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("ionic://localhost", "ionic://localhost"),
        ("Chrome-Extension://abcDEF", "chrome-extension://abcDEF"),
    ],
)
def test_origin_is_read_as_browsers_send_it(text: str, origin: str) -> None:
    assert Settings.from_mapping({"trusted_origins": text}).trusted_origins == [origin]


@in_one_test
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("*", "wildcards"),
        ("https://*.app.example", "wildcards"),
        ("null", "sandboxed"),
        ("NULL", "sandboxed"),
        ("app.example", "scheme"),
        ("app.example:8000", "scheme"),
        ("localhost", "scheme"),
        ("//app.example", "scheme"),
        ("self", "scheme"),
        ("https://user:hunter2@app.example", "no user name"),
        ("https://app.example@evil.example", "no user name"),
        ("https://app.example/", "use 'https://app.example'"),
        ("https://app.example/page", "use 'https://app.example'"),
        ("https://app.example?page", "path"),
        ("https://app.example#", "path"),
        ("https://app.example\\", "path"),
        ("https://app.example.", "dot"),
        ("https://app.example.:8443", "dot"),
        ("https://пример.example", "xn--"),
        ("https://app。example", "xn--"),
        ("https://app.example:0", "port"),
        ("https://app.example:65536", "port"),
        ("https://app.example:", "port"),
        ("https://", "host"),
        ("https://a..b", "host"),
        ("https://-a.example", "host"),
        ("https://127.1", "host"),
        ("https://0x7f.1", "host"),
        ("https://[::1", "host"),
        ("https://[fe80::1%25eth0]", "host"),
        ("https://%61pp.example", "host"),
        ("https://app.example\r\nSet-Cookie: a=b", "comma"),
        ("https://app.example\x00", "host"),
        ("https://app.example https://b.example", "comma"),
        ("file://host", "file:"),
        (f"https://{'a' * 64}.example", "host"),
    ],
)
def test_entry_that_is_no_origin_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_TRUSTED_ORIGINS: ") as refusal:
        Settings.from_mapping({"trusted_origins": ["https://good.example", text]})
    assert says in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


@given(st.text(alphabet="htps:/.*@[]0123xn- \n\r\0aéK", max_size=30) | st.text(max_size=30))
def test_any_entry_is_an_origin_or_refused(text: str) -> None:
    try:
        origin = read_origin(text)
    except ValueError:
        return
    assert read_origin(origin) == origin
    assert origin.isascii()
    assert origin.isprintable()


def test_refusal_is_in_the_owner_s_words() -> None:
    config = SiteConfig({"trusted_origins": ["app.example"]}, spell=lambda name, value: f"OWN[{name}]")
    with pytest.raises(ConfigurationError, match=r"^OWN\[trusted_origins\]: 'app.example' has no scheme"):
        config.settings()


@pytest.mark.parametrize(
    ("values", "environ", "trusted"),
    [
        ({}, {}, {"https://a.example"}),
        ({"trusted_origins": ""}, {"PHONE_VERIFY_TRUSTED_ORIGINS": ""}, {"https://a.example"}),
        ({"trusted_origins": []}, {}, set()),
        ({}, {"PHONE_VERIFY_TRUSTED_ORIGINS": " https://b.example ,, ionic://localhost,"},
         {"https://b.example", "ionic://localhost"}),
        ({"trusted_origins": ["https://c.example"]}, {"PHONE_VERIFY_TRUSTED_ORIGINS": APP}, {"https://c.example"}),
    ],
)  # fmt: skip
def test_setting_precedes_the_framework_s_list(values: Any, environ: Any, trusted: set[str]) -> None:
    given = ["https://a.example:443", "https://*.a.example", "https://b.example/", "b.example", 7]
    site = SiteConfig({"secret_keys": KEY, **values}, environ, framework_origins=given).site()
    assert site.trusted_origins == trusted


# The forgery rule


@in_one_test
@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, False),
        ({"verification-secret": "x"}, False),
        ({"verification-secret": ""}, False),
        ({"verification-secret": "x", "sec-fetch-site": "cross-site"}, False),
        ({"verification-secret": "", "sec-fetch-site": "cross-site"}, True),
        ({"verification-secret": "x", "sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": ""}, True),
        ({"sec-fetch-site": "same-origin,same-origin"}, True),
        # Our own origin.
        ({"origin": PUBLIC}, False),
        ({"origin": "https://internal:8000"}, False),
        ({"origin": "http://internal:8000"}, False),
        ({"origin": "https://internal"}, True),
        ({"origin": PUBLIC, "sec-fetch-site": "same-origin"}, False),
        ({"origin": PUBLIC, "sec-fetch-site": "cross-site"}, True),
        ({"origin": PUBLIC, "sec-fetch-site": "same-site"}, True),
        # Behind a proxy that changes `Host`, only the browser knows.
        ({"origin": "https://proxied.example", "sec-fetch-site": "same-origin"}, False),
        # A trusted origin.
        ({"origin": APP}, False),
        ({"origin": APP, "sec-fetch-site": "cross-site"}, False),
        ({"origin": APP, "sec-fetch-site": "same-site"}, False),
        ({"origin": "capacitor://localhost", "sec-fetch-site": "cross-site"}, False),
        # Every other one.
        ({"origin": EVIL}, True),
        ({"origin": EVIL, "sec-fetch-site": "none"}, True),
        ({"origin": EVIL, "sec-fetch-site": "same-site"}, True),
        ({"origin": "null"}, True),
        ({"origin": ""}, True),
        ({"origin": "https://[bad"}, True),
        ({"origin": "https://site.example.evil.example"}, True),
        ({"origin": f"{APP}.evil.example"}, True),
        ({"origin": f"{APP}."}, True),
        ({"origin": f"{APP}/"}, True),
        ({"origin": f"{APP}:443"}, True),
        ({"origin": f"{APP}:8443"}, True),
        ({"origin": "http://app.example"}, True),
        ({"origin": "HTTPS://APP.EXAMPLE"}, True),
        ({"origin": f"{APP}, {EVIL}"}, True),
        ({"origin": f"{APP},{APP}"}, True),
        ({"origin": f" {APP}"}, True),
        ({"origin": "https://user@app.example"}, True),
        ({"origin": "capacitor://LOCALHOST"}, True),
        ({"origin": "https://localhost"}, True),
    ],
)
def test_cross_site_requests_are_detected(headers: dict[str, str], refused: bool, site: Site) -> None:
    call = ApiRequest("POST", "v1/verifications", {"host": "internal:8000", **headers})
    assert (cross_site(call, site) is not None) is refused
    if "origin" in headers:  # the secret changes nothing then
        with_secret = ApiRequest("POST", call.path, {**call.headers, "verification-secret": "x"})
        assert (cross_site(with_secret, site) is not None) is refused


# The headers

#: Each path, and the methods of its route.
ROUTES = {
    "v1/verifications": {"POST"},
    "v1/verifications/unknown": {"GET", "HEAD", "DELETE"},
    "v1/verifications/unknown/check": {"POST"},
    "v1/verifications/unknown/resend": {"POST"},
    "v1/session": {"POST", "GET", "HEAD", "DELETE"},
    "v1/session/phone": {"PUT"},
    "v1/health": {"GET", "HEAD"},
    "v1/ready": {"GET", "HEAD"},
    "v1/metrics": {"GET", "HEAD"},
    "v1/openapi.json": {"GET", "HEAD"},
}


@pytest.mark.parametrize("path", ROUTES)
def test_trusted_origin_gets_the_methods_of_the_route(site: Site, path: str) -> None:
    for origin in (APP, "capacitor://localhost"):
        headers = dict(cors_headers(site, path, origin))
        assert set(headers.pop("Access-Control-Allow-Methods").split(", ")) == ROUTES[path]
        allowed = set(headers.pop("Access-Control-Allow-Headers").split(", "))
        assert allowed == {"content-type", "verification-secret", "idempotency-key", "authorization"}
        assert headers == {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": "Retry-After",
            "Access-Control-Max-Age": "600",
        }


@pytest.mark.parametrize(
    "origin",
    [None, "", "null", "*", EVIL, PUBLIC, f"{APP}:443", f"{APP}.", "HTTPS://app.example", f"{APP},{APP}", f"{APP}\r\n"],
)  # fmt: skip
def test_other_origins_get_vary_only(site: Site, origin: str | None) -> None:
    for path in (*ROUTES, "v1", "v1/", "v1/unknown"):
        assert cors_headers(site, path, origin) == {"Vary": "Origin"}


@pytest.mark.parametrize(
    "path", ["webhooks/amoot/secret", "webhooks", "", "login/", "v10", "v1x/session", "static/v1/x"]
)
def test_other_paths_get_no_header(site: Site, path: str) -> None:
    assert cors_headers(site, path, APP) == {}


@in_one_test
@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("origin", [None, APP, EVIL])
def test_preflight_is_204_for_every_route(site: Site, path: str, origin: str | None) -> None:
    headers = {"host": "site.example", **({"origin": origin, "sec-fetch-site": "cross-site"} if origin else {})}
    answer = handle(site, ApiRequest("OPTIONS", path, headers, body=None))
    assert isinstance(answer, ApiResponse)
    assert (answer.status, answer.document, answer.cookie) == (204, None, None)
    assert set(answer.headers["Allow"].split(", ")) == {*ROUTES[path], "OPTIONS"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_preflight_of_an_unknown_path_is_404(site: Site) -> None:
    for path in ("v1", "v1/unknown", "v1/verifications/"):
        headers = cors_headers(site, path, APP)
        assert headers["Access-Control-Allow-Origin"] == APP
        assert "Access-Control-Allow-Methods" not in headers
        answer = handle(site, ApiRequest("OPTIONS", path, {"origin": APP}))
        assert isinstance(answer, ApiResponse)
        assert answer.status == 404


def test_preflight_of_a_webhook_is_405(site: Site) -> None:
    answer = handle(site, ApiRequest("OPTIONS", "webhooks/amoot/secret", {"origin": APP}))
    assert isinstance(answer, ApiResponse)
    assert answer.status == 405
