"""docs/accounts.md works as described: its files form a site, which is then used."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import include, path

from phone_verify.model import Assurance
from phone_verify_django.accounts import phone_of, set_phone
from phone_verify_django.app_settings import NAMES, PHONE_FIELDS, AccountSettings
from phone_verify_django.signals import phone_changed, phone_lost

from .conftest import PHONE, Network
from .factories import proof, request_of, somebody

DOC = (Path(__file__).parents[2] / "docs" / "accounts.md").read_text("utf-8")
FILES = dict(re.findall(r"```python\n# shop/([a-z]+)\.py\n(.*?)```", DOC, re.DOTALL))
OTHER = "+989120000001"

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[dict[str, ModuleType]]:
    """The document's files as a package, in the site under test."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    for name, text in FILES.items():
        (tmp_path / "shop" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    modules = {name: importlib.import_module(f"shop.{name}") for name in FILES}
    urls = ModuleType("shop.urls")
    urls.urlpatterns = [  # type: ignore[attr-defined]
        path("phone/", include("phone_verify_django.urls")),
        *(path(f"{name}/", getattr(modules["numbers"], name)) for name in ("numbers", "prefer", "remove")),
    ]
    settings.ROOT_URLCONF, settings.LOGIN_REDIRECT_URL = urls, "/numbers/"
    settings.PHONE_VERIFY = dict(modules["settings"].PHONE_VERIFY)
    yield modules
    phone_changed.disconnect(modules["receivers"].tell_of_a_change)
    phone_lost.disconnect(modules["receivers"].tell_of_a_loss)
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


def test_every_documented_file_exists() -> None:
    assert set(FILES) == {"numbers", "rules", "settings", "newsletter", "receivers"}
    assert DOC.count("```python") == len(FILES)


def test_customer_signs_up_with_the_form_and_has_numbers(
    shop: Any, network: Network, client: Client, mailoutbox: list[Any]
) -> None:
    client.post("/phone/login/", {"phone": PHONE})
    answer = client.post("/phone/code/", {"code": network.code}, follow=True)
    assert answer.redirect_chain == [("/phone/signup/", 303)]
    answer = client.post("/phone/signup/", {"first_name": "Mina", "newsletter": "on"}, follow=True)
    assert answer.content.decode() == f"{PHONE} of 1"
    user = User.objects.get()
    assert user.first_name == "Mina"
    assert user.groups.get().name == f"newsletter of {user.pk}"
    user.email = "mina@shop.example"
    user.save()
    set_phone(request_of(user), proof(OTHER, "confirm"))
    assert len(mailoutbox) == 1
    assert client.get("/numbers/").content.decode() == f"{PHONE} of 2"
    assert client.post("/prefer/", {"phone": OTHER}).content.decode() == f"{OTHER} of 2"
    assert client.post("/remove/", {"phone": PHONE}).content.decode() == f"{OTHER} of 1"
    assert client.post("/remove/", {"phone": OTHER}).status_code == 403
    assert [mail.subject for mail in mailoutbox] == ["Your number was changed"] * 3
    assert "+98 ••••••••00" in mailoutbox[-1].body
    assert OTHER[4:] not in str([mail.body for mail in mailoutbox])


def test_documented_class_works_as_described(shop: Any) -> None:
    from dataclasses import replace

    from phone_verify_django.accounts import sign_in

    own = shop["rules"].Own()
    assert own.may_sign_up(proof(PHONE), request_of())
    assert not own.may_sign_up(replace(proof(PHONE), assurance=Assurance.CALLER_ID), request_of())
    user = somebody(PHONE)
    account = sign_in(request_of(), proof(PHONE))
    assert account is not None
    assert phone_of(user) == PHONE
    user.groups.create(name="board")
    assert sign_in(request_of(), proof(PHONE)) is None


def test_previous_owner_is_notified(shop: Any, settings: Any, mailoutbox: list[Any]) -> None:
    settings.PHONE_VERIFY = {"sms": "console://", "recycled_numbers": "newest"}
    loser, winner = somebody("a", email="a@shop.example"), somebody("b")
    set_phone(request_of(loser), proof(PHONE, "confirm"))
    set_phone(request_of(winner), proof(PHONE, "confirm", minutes=1))
    assert [(mail.subject, mail.to) for mail in mailoutbox] == [("Your number has a new owner", ["a@shop.example"])]


def test_every_setting_is_in_the_table_with_its_default() -> None:
    settings = DOC.partition("## ")[0]
    table = dict(re.findall(r"^\| `([a-z_]+)` \| .* \| ([^|]+) \|$", settings, re.MULTILINE))
    assert set(table) == set(NAMES)
    assert table["shared_phones"] == f"`{AccountSettings().shared_phones}`"
    assert table["recycled_numbers"] == "`keep`"
    assert not AccountSettings().moves
    assert re.findall("`([a-z_]+)`", table["phone_field"]) == list(PHONE_FIELDS)
    assert len(fields(AccountSettings)) == len(NAMES)
