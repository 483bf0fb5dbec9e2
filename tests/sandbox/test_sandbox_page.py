"""The pages: what they may load, and which sites they may frame."""

import re

import pytest
from werkzeug.test import Client

from phone_verify.sandbox import Sandbox
from phone_verify.sandbox.api import ROUTES
from phone_verify.sandbox.protocols import PROVIDERS


def test_page_loads_nothing_inline_and_nothing_foreign(client: Client) -> None:
    response = client.get("/")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-src" not in policy
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|https?://", response.text)


@pytest.mark.parametrize(
    ("path", "mimetype"),
    [
        ("/static/sandbox.css", "text/css"),
        ("/static/sandbox.js", "text/javascript"),
        ("/static/calls.js", "text/javascript"),
        ("/static/requests.js", "text/javascript"),
        ("/static/tour.js", "text/javascript"),
        ("/favicon.ico", "image/svg+xml"),
        ("/static/icon.svg", "image/svg+xml"),
    ],
)
def test_static_files(client: Client, path: str, mimetype: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.mimetype) == (200, mimetype)
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_api_page_lists_every_call(client: Client) -> None:
    text = client.get("/api/").text
    for route in ROUTES:
        path = route.path.replace("<", "{").replace(">", "}")
        assert f"<dt><b>{route.method}</b> <code>{path}</code></dt>" in text


def test_api_page_shows_the_keys_of_every_provider(client: Client) -> None:
    text = client.get("/api/").text
    keys = [key for provider in PROVIDERS.values() for key in provider.keys.values()]
    assert len(keys) >= 2
    assert all(f"<dd><code>{key}</code></dd>" in text for key in keys)


def test_page_frames_exactly_the_named_sites(client: Client) -> None:
    query = {
        "site": "http://127.0.0.1:8000/phone/login/?next=/",
        "name": "Django",
        "site2": "http://localhost:8001",
        "name2": "Flask",
    }
    response = client.get("/beside", query_string=query)
    policy = response.headers["Content-Security-Policy"]
    assert policy.endswith("frame-src http://127.0.0.1:8000 http://localhost:8001")
    assert 'src="http://127.0.0.1:8000/phone/login/?next=/"' in response.text
    assert 'src="http://localhost:8001/"' in response.text
    assert ">Django</button>" in response.text


def test_site_name_is_escaped(client: Client) -> None:
    response = client.get("/beside", query_string={"site": "http://127.0.0.1:8000/", "name": '"><script>x</script>'})
    assert "<script>x" not in response.text


@pytest.mark.parametrize(
    "site",
    [
        "",
        "http://evil.example/",
        "https://127.0.0.1/",
        "javascript:alert(1)",
        "http://127.0.0.1@evil.example/",
        "http://evil.example\\@127.0.0.1/",
        "http://127.0.0.1;script-src *",
        "http://localhost *.evil.example/",
        "http://x;y.localhost/",
        "http://127.0.0.1:port/",
        "//127.0.0.1/",
        "http://[::2]/",
    ],
)
def test_only_plain_http_sites_on_this_machine_are_shown(client: Client, site: str) -> None:
    response = client.get("/beside", query_string={"site": site})
    assert response.status_code == 400


def test_site_cannot_break_out_of_its_attribute(client: Client) -> None:
    response = client.get("/beside", query_string={"site": 'http://127.0.0.1:8000/"onload="x'})
    assert '"onload' not in response.text


def test_short_address_leads_to_the_demo(client: Client) -> None:
    assert client.get("/demo").status_code == 404
    path = "/beside?site=http%3A%2F%2F127.0.0.1%3A8000%2F&tour=1"
    running = Client(Sandbox(demo=path))
    response = running.get("/demo")
    assert (response.status_code, response.headers["Location"]) == (302, path)
    assert 'id="tour"' in running.get(path).text
    assert 'id="tour"' not in running.get("/beside?site=http://127.0.0.1:8000/").text


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(("path", "status"), [("/nosuch", 404), ("/beside", 400), ("/api/handsets/x", 400)])
def test_browser_gets_an_error_page_and_others_json(client: Client, path: str, status: int) -> None:
    page = client.get(path, headers={"Accept": BROWSER})
    assert (page.status_code, page.mimetype) == (status, "text/html")
    assert 'href="/"' in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        answer = client.get(path, headers=headers)
        assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")


def test_error_page_keeps_the_allowed_methods(client: Client) -> None:
    response = client.post("/beside", headers={"Accept": BROWSER})
    assert (response.status_code, response.headers["Allow"]) == (405, "GET")
