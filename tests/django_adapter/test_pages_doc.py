"""docs/pages.md works as described: its files form a site, which is then used."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from phone_verify_django.models import VerifiedPhone
from tests.browser.strict_csp_site import POLICY

from .conftest import PHONE, Network
from .projects import ROOT, files, write

DOC = (ROOT / "docs" / "pages.md").read_text("utf-8")
TEMPLATES = ROOT / "phone_verify_django" / "templates" / "phone_verify"

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[None]:
    """The document's files as a package, in the site under test."""
    for name, text in files(DOC):
        write(tmp_path, name, text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    settings.ROOT_URLCONF = "shop.urls"
    settings.LOGIN_REDIRECT_URL = "/"
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [{**engine, "DIRS": [tmp_path / "shop" / "templates"]}]
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


@pytest.mark.usefixtures("shop")
def test_documented_site_signs_in_with_its_form(client: Client, network: Network) -> None:
    page = client.get("/phone/login/").content.decode()
    assert "<h1>Welcome back</h1>" in page
    assert 'type="tel"' in page
    assert client.post("/phone/login/", {"phone": PHONE})["Location"] == "/phone/login/"
    assert network.sent == 0
    answer = client.post("/phone/login/", {"phone": PHONE, "terms": "on"})
    assert answer["Location"].startswith("/phone/code/")
    assert client.post("/phone/code/", {"code": network.code})["Location"] == "/orders/"
    for path in ("/orders/", "/payout/", "/live/", "/addresses/", "/keys/"):
        assert client.get(path).status_code == 200


@pytest.mark.usefixtures("shop")
def test_documented_access_rules_are_enforced(client: Client) -> None:
    for path in ("/orders/", "/payout/", "/addresses/", "/keys/"):
        assert client.get(path)["Location"] == f"/phone/login/?next={path}"
    client.force_login(user := User.objects.create_user("somebody"))
    VerifiedPhone.objects.create(user=user, phone=PHONE, verified_at=timezone.now())
    assert [client.get(path).status_code for path in ("/orders/", "/addresses/")] == [200, 200]
    assert [client.get(path)["Location"] for path in ("/payout/", "/keys/")] == [
        "/phone/verify/?next=/payout/",
        "/phone/verify/?next=/keys/",
    ]
    assert client.get("/live/").status_code == 403


@pytest.mark.usefixtures("shop")
def test_documented_template_extends_the_replaced_one(client: Client, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.django_adapter.urls"
    page = client.get("/phone/login/").content.decode()
    assert "No phone at hand?" in page
    assert '<a href="/">Shop</a>' in page
    assert 'name="phone"' in page


def test_documented_table_has_every_block() -> None:
    table = dict(re.findall(r"^\| `(\w+\.html)` \| (.*) \|$", DOC, re.MULTILINE))
    own = {name: re.findall(r"{% block (\w+) %}", (TEMPLATES / name).read_text()) for name in table}
    assert set(table) == {"base.html", "login.html", "code.html", "verify.html", "logout.html", "refused.html"}
    for name, row in table.items():
        shared = set() if name == "base.html" else {*own["base.html"]}
        assert re.findall(r"`(\w+)`", row) == [block for block in own[name] if block not in shared], name


def test_documented_csp_is_the_tested_one() -> None:
    assert f"Content-Security-Policy: {POLICY}\n" in DOC
