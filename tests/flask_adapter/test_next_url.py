"""`next` leads to this site or is dropped."""

from __future__ import annotations

import pytest

from phone_verify_flask.next_url import safe_next
from tests.cases import in_one_test

from .sites import PHONE, make, submit, target

HOST = "site.example:8000"

GOOD = {
    "/": "/",
    "/orders/7?tab=open#last": "/orders/7?tab=open#last",
    "/a//b": "/a//b",
    "/?next=//evil.example": "/?next=//evil.example",
    "/@evil.example": "/@evil.example",
    "/:80": "/:80",
    "/%2f%2fevil.example": "/%2f%2fevil.example",
    "/%09/evil.example": "/%09/evil.example",
    "/سفارش‌ها": "/سفارش‌ها",
    "/with space": "/with space",
    f"http://{HOST}": "/",
    f"http://{HOST}/orders": "/orders",
    f"https://{HOST.upper()}/orders": "/orders",
    f"HTTP://{HOST}/a?b=c": "/a?b=c",
    "https://public.example/orders": "/orders",
}

BAD = [
    "",
    "orders",
    "./orders",
    "../orders",
    "?a=b",
    "#a",
    " /orders",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "//evil.example/%2f..",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/orders\\..\\..",
    "\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "\t//evil.example",
    "\n//evil.example",
    "\x00//evil.example",
    "\x01/orders",
    " //evil.example",
    "/\x00/evil.example",
    "/\x7f/evil.example",
    "/\x85/evil.example",
    "/orders\r\nSet-Cookie: a=b",
    "\ud800/orders",
    "http://evil.example",
    "http://evil.example/",
    "https://evil.example",
    "http:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "http:////evil.example",
    "ht\ntp://evil.example",
    "javascript:alert(1)",
    "JAVASCRIPT:alert(1)",
    "java\nscript:alert(1)",
    "javascript://%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "ftp://site.example:8000/",
    "mailto:a@evil.example",
    f"//{HOST}/orders",
    f"http://{HOST}@evil.example/",
    f"http://{HOST}:80@evil.example/",
    f"http://user@{HOST}/",
    f"http://user:pass@{HOST}/",
    f"http://{HOST}.evil.example/",
    f"http://{HOST}evil.example/",
    f"http://{HOST}\\@evil.example",
    f"http://{HOST}//evil.example",
    f"http://{HOST}/\\evil.example",
    f"http://{HOST}?a",
    "http://site.example/",
    "http://site.example:80/",
    "http://evil.example#@site.example:8000/",
    "http://evil.example?@site.example:8000/",
    "http://evil.example\\@site.example:8000/",
    "http://[::1]:8000/",
    "http://[::1/",
    "@evil.example",
    ":80/evil",
    "．．/evil.example",
    "／／evil.example",
    "/" + "a" * 1024,
]


@pytest.mark.parametrize(("target", "path"), GOOD.items())
def test_url_on_this_site_is_kept_as_its_path(target: str, path: str) -> None:
    assert safe_next(target, HOST, "https://public.example") == path


@in_one_test
@pytest.mark.parametrize("target", BAD, ids=ascii)
def test_any_other_next_is_dropped(target: str) -> None:
    assert safe_next(target, HOST, "https://public.example") == ""


def test_missing_host_matches_no_url() -> None:
    """HTTP/1.0 without a Host header."""
    assert safe_next("http:///orders", "") == ""
    assert safe_next("/orders", "") == "/orders"


def test_next_travels_from_page_to_page() -> None:
    made = make()
    client = made.app.test_client()
    page = client.get("/phone/login/?next=/orders?a=1")
    assert 'name="next" value="/orders?a=1"' in page.text
    answer = submit(client, "/phone/login/", phone=PHONE, next="/orders?a=1")
    assert target(answer) == "/phone/code/?next=%2Forders%3Fa%3D1"
    assert 'name="next" value="/orders?a=1"' in client.get(answer.location).text
    answer = submit(client, "/phone/code/", code=made.code, next="/orders?a=1")
    assert (answer.status_code, answer.location) == (303, "/orders?a=1")


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_cross_site_next_is_dropped_on_every_page(wanted: str) -> None:
    made = make()
    client = made.app.test_client()
    assert "evil" not in client.get("/phone/login/", query_string={"next": wanted}).text
    answer = submit(client, "/phone/login/", phone=PHONE, next=wanted)
    assert target(answer) == "/phone/code/"
    assert "evil" not in client.get("/phone/code/", query_string={"next": wanted}).text
    answer = submit(client, "/phone/code/", code=made.code, next=wanted)
    assert answer.location == "/"
    assert "evil" not in client.get("/phone/logout/", query_string={"next": wanted}).text
    assert submit(client, "/phone/logout/", next=wanted).location == "/"


HOME = "https://home.example"


@pytest.mark.parametrize("target", [f"{HOME}/orders?a=1", "HTTPS://HOME.example/orders?a=1"])
def test_rest_of_the_site_is_an_absolute_url(target: str) -> None:
    """With the pages on a subdomain."""
    assert safe_next(target, HOST, None, HOME) == f"{HOME}/orders?a=1"
    assert safe_next(HOME, HOST, None, HOME) == f"{HOME}/"
    assert safe_next("/orders", HOST, None, HOME) == "/orders"


@pytest.mark.parametrize(
    "target",
    [
        f"{HOME}.evil.example/",
        f"{HOME}:81/orders",
        f"{HOME}@evil.example/",
        f"{HOME}//evil.example",
        f"{HOME}\\@evil.example",
        f"{HOME}/\norders",
        "http://home.example/orders",
        "//home.example/orders",
    ],
)
def test_lookalike_of_the_rest_of_the_site_is_refused(target: str) -> None:
    assert safe_next(target, HOST, None, HOME) == ""
