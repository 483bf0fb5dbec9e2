"""Access keys in the admin: created and shown once, listed without secrets, revoked, and who may do that."""

from __future__ import annotations

import html
import re
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client, override_settings
from django.utils import translation

from phone_verify.keys.text import read_text
from phone_verify.sync import run
from phone_verify_django.services.keys_store import OrmKeyStore
from phone_verify_django.services.models import AccessKeyRow
from phone_verify_django.site import current_site

from .factories import session_steps

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.django_adapter.admin_urls")]

LIST = "/admin/phone_verify_services/accesskeyrow/"
ADD = f"{LIST}add/"
PASSWORD = "a password of the tests"
LEDGER = override_settings(
    PHONE_VERIFY={"sms": "console://", "ledger": "orm:"},
    AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.ModelBackend", "phone_verify_django.backends.PhoneBackend"],
)


@pytest.fixture(autouse=True)
def _with_keys() -> Any:
    with LEDGER:
        yield


def staff(*permissions: str) -> Client:
    user = User.objects.create_user("staff", password=PASSWORD, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    assert user.user_permissions.count() == len(permissions)
    browser = Client()
    assert browser.login(username="staff", password=PASSWORD)
    return browser


def form(browser: Client, **fields: Any) -> dict[str, Any]:
    page = browser.get(ADD).content.decode()
    [id] = re.findall(r'name="id" value="(\w{12})"', page)
    return {"id": id, "name": "Shop", "service": "default", **fields}


def created(browser: Client, **fields: Any) -> str:
    """Return the text of a new key, as the page shows it."""
    answer = browser.post(ADD, form(browser, **fields))
    assert answer.status_code == 200
    [text] = re.findall(r'readonly value="(pv_[^"]+)"', answer.content.decode())
    return str(text)


def test_call_with_a_key_touches_no_session() -> None:
    browser = staff("add_accesskeyrow", "view_accesskeyrow")
    headers = {"Authorization": f"Bearer {created(browser)}"}
    with session_steps() as steps:
        answer = browser.post(
            "/phone/v1/verifications", {"phone": "+989120000000"}, content_type="application/json", headers=headers
        )
    assert (answer.status_code, steps, answer.cookies) == (201, [], {})


def test_new_key_is_shown_once() -> None:
    browser = staff("add_accesskeyrow", "view_accesskeyrow")
    fields = form(browser, networks="203.0.113.0/24", channels=["sms", "voice"], expires="2099-01-31")
    answer = browser.post(ADD, fields)
    assert "no-store" in answer.headers["Cache-Control"]
    [text] = re.findall(r'readonly value="(pv_[^"]+)"', answer.content.decode())
    parts = read_text(text)
    assert parts is not None
    found = run(OrmKeyStore("default").find(parts.id))
    assert found is not None
    assert found.matches(parts.digest)
    assert (found.name, found.service, found.channels) == ("Shop", "default", ("sms", "voice"))
    assert (str(found.networks[0]), found.expires_at and found.expires_at.isoformat()) == (
        "203.0.113.0/24",
        "2099-02-01T00:00:00+00:00",
    )
    again = browser.post(ADD, fields).content.decode()
    assert "pv_" not in again
    assert "This key was created already" in again
    assert AccessKeyRow.objects.count() == 1
    for page in (LIST, f"{LIST}{parts.id}/change/"):
        shown = browser.get(page).content.decode()
        assert parts.secret not in shown
        assert parts.digest.hex() not in shown
        assert f"pv_{parts.id}_…" in shown
    [entry] = LogEntry.objects.all()
    assert parts.secret not in f"{entry.object_repr} {entry.change_message}"


def test_site_accepts_the_key() -> None:
    key = created(staff("add_accesskeyrow"))
    keys = current_site().verifier.flows.keys
    assert keys is not None
    assert run(keys.admitted(key, None))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a\u2028b"),
        ("service", "Shop!"),
        ("networks", "10.0.0.1/8"),
        ("channels", ["smoke"]),
        ("expires", "2000-01-01"),
        ("expires", "soon"),
        ("id", "x"),
    ],
)
def test_fields_that_cannot_work_are_refused_there(field: str, value: Any) -> None:
    browser = staff("add_accesskeyrow")
    answer = browser.post(ADD, form(browser, **{field: value}))
    assert answer.status_code == 200
    assert 'readonly value="pv_' not in answer.content.decode()
    assert AccessKeyRow.objects.count() == 0
    assert list(answer.context["form"].errors) == [field]


def test_selected_keys_are_revoked() -> None:
    browser = staff("add_accesskeyrow", "change_accesskeyrow")
    texts = [created(browser), created(browser)]
    ids = [text.split("_")[1] for text in texts]
    for _ in range(2):
        answer = browser.post(LIST, {"action": "revoke", "_selected_action": ids[:1]}, follow=True)
    assert "0 access keys were revoked." in answer.content.decode()
    keys = current_site().verifier.flows.keys
    assert keys is not None
    assert [bool(run(keys.admitted(text, None))) for text in texts] == [False, True]


@pytest.mark.parametrize(
    ("permissions", "may_list", "may_add", "may_revoke"),
    [
        ((), False, False, False),
        (("view_accesskeyrow",), True, False, False),
        (("add_accesskeyrow",), False, True, False),
        (("change_accesskeyrow",), True, False, True),
        (("delete_accesskeyrow",), False, False, False),
    ],
)
def test_permissions(permissions: tuple[str, ...], may_list: bool, may_add: bool, may_revoke: bool) -> None:
    row = AccessKeyRow.objects.create(id="0" * 12, digest=b"0" * 32, service="default", name="Shop", created_at=0)
    browser = staff(*permissions)
    assert (browser.get(LIST).status_code == 200) == may_list
    assert (browser.get(ADD).status_code == 200) == may_add
    assert (browser.post(ADD, {"id": "1" * 12, "name": "x", "service": "default"}).status_code == 200) == may_add
    browser.post(LIST, {"action": "revoke", "_selected_action": [row.pk]})
    row.refresh_from_db()
    assert (row.revoked_at is not None) == may_revoke
    assert browser.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert browser.post(f"{LIST}{row.pk}/change/", {"name": "Other"}).status_code in (302, 403)
    row.refresh_from_db()
    assert row.name == "Shop"


def test_row_with_a_mistake_is_listed_as_revoked() -> None:
    browser = staff("view_accesskeyrow", "add_accesskeyrow")
    created(browser)
    AccessKeyRow.objects.update(channels="telepathy")
    page = browser.get(LIST)
    assert page.status_code == 200
    assert "Revoked" in page.content.decode()
    assert "telepathy" in page.content.decode()


def test_sites_with_their_keys_elsewhere_have_no_page() -> None:
    browser = staff("add_accesskeyrow", "view_accesskeyrow", "change_accesskeyrow")
    with override_settings(PHONE_VERIFY={"sms": "console://"}):
        assert browser.get(LIST).status_code == 403
        assert browser.get(ADD).status_code == 403
        assert "phone_verify_services" not in browser.get("/admin/").content.decode()


def test_digest_cannot_be_found_by_lookups() -> None:
    browser = staff("view_accesskeyrow")
    assert browser.get(LIST, {"digest__startswith": "0"}).status_code in (302, 400)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("fa", ["افزودن کلید دسترسی", "نشانی‌ها", "ساختن"]),
        ("ar", ["إضافة مفتاح وصول", "العناوين", "إنشاء"]),
        ("ru", ["Добавить ключ доступа", "Адреса", "Создать"]),
    ],
)
def test_form_is_in_the_language_of_the_staff(language: str, words: list[str]) -> None:
    browser = staff("add_accesskeyrow")
    with translation.override(language):
        page = html.unescape(browser.get(ADD).content.decode())
    assert [word for word in words if word not in page] == []


# The command.


def test_commands_of_django(capsys: pytest.CaptureFixture[str]) -> None:
    def command(*words: Any) -> str:
        call_command("phone_verify_keys", *words, stdout=StringIO())
        return capsys.readouterr().out

    text = read_text(command("create", "Shop", "--channels", "sms").strip())
    assert text is not None
    assert text.id in command("list")
    command("revoke", text.id)
    with pytest.raises(CommandError, match="no valid access key"):
        command("revoke", text.id)
    with pytest.raises(CommandError, match="use addresses"):
        command("create", "Shop", "--from", "x")
    with pytest.raises(CommandError, match="no service is named shop"):
        command("create", "Shop", "--service", "shop")


def test_key_of_no_service_is_refused_at_the_field() -> None:
    browser = staff("add_accesskeyrow", "view_accesskeyrow")
    page = browser.post(ADD, form(browser, service="shop")).content.decode()
    assert "No service is named" in page
    assert not AccessKeyRow.objects.exists()
