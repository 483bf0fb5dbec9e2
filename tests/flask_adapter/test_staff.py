"""Staff on a Flask site: users with rights over other users cannot sign in by phone alone."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from phone_verify.config import settings, site
from phone_verify.doctor import Level, examine
from phone_verify.model import Assurance, Channel, Redeemed
from phone_verify_flask import rights

from .sites import PHONE, Made, is_problem, make, proof_of, start, submit

SESSION = "/phone/v1/session"
OPEN = {"PHONE_VERIFY_STAFF_SIGN_IN_BY_PHONE": True}
REVIEWER = {"PHONE_VERIFY_TEST_PASSCODES": f"{PHONE}=482193@2030-12-31"}
ADMIN = SimpleNamespace(name="admin")  # as Flask-Security's roles are


def owner(made: Made, **rights: Any) -> Any:
    """A user with the number, and with these rights."""
    user, _ = made.find_or_make(proof_of(PHONE))
    for name, value in rights.items():
        setattr(user, name, value)
    return user


def by_api(made: Made, code: str | None = None) -> Any:
    client = made.app.test_client()
    id = start(client)["id"]
    if code is None:
        code = re.findall(r"\b[0-9]{4,6}\b", made.transport.notices[-1].text)[0]
    checked = client.post(f"/phone/v1/verifications/{id}/check", json={"code": code})
    return client.post(SESSION, json={"proof": checked.json["proof"]})


@pytest.mark.parametrize(
    "held",
    [{"is_staff": True}, {"is_superuser": True}, {"is_admin": True}, {"roles": [ADMIN]}, {"roles": ["user", "admin"]}],
)
def test_staff_do_not_sign_in_by_phone_alone(held: dict[str, Any]) -> None:
    made = make()
    owner(made, **held)
    assert is_problem(by_api(made), 403, "login_refused")


def test_staff_are_refused_on_the_page() -> None:
    made = make()
    owner(made, roles=[ADMIN])
    client = made.app.test_client()
    submit(client, "/phone/login/", phone=PHONE)
    answer = submit(client, "/phone/code/", code=made.code)
    assert answer.status_code == 303
    answer = client.get(answer.location)
    assert "sign in with this number" in answer.text
    assert client.get("/").text == "nobody"


def test_one_setting_opens_the_phone_to_staff() -> None:
    made = make(**OPEN)
    owner(made, roles=[ADMIN], is_staff=True)
    assert by_api(made).status_code == 200


@pytest.mark.parametrize(
    ("settings", "code"), [({}, None), (OPEN | {"PHONE_VERIFY_CODE_LENGTH": 4}, None), (OPEN | REVIEWER, "482193")]
)
def test_weak_verifications_never_sign_in_staff(settings: dict[str, Any], code: str | None) -> None:
    made = make(**settings)
    user = owner(made)
    assert by_api(made, code).status_code == 200
    user.is_admin = True
    assert is_problem(by_api(made, code), 403, "login_refused")


def test_caller_id_never_signs_in_staff() -> None:
    made = make(**OPEN)
    site, user = made.app.extensions["phone_verify"].site, owner(made, is_admin=True)
    called = replace(proof_of(PHONE), channel=Channel.INBOUND_CALL, assurance=Assurance.CALLER_ID)
    assert [rights.signs_in(site, user, given) for given in (proof_of(PHONE), called)] == [True, False]


@pytest.mark.parametrize(
    ("setting", "roles", "refused"),
    [
        ("editor, owner", ["owner"], True),
        (["editor"], "user,editor", True),
        (["editor"], [ADMIN], False),
        ([], [ADMIN], False),
        (None, ["staff"], True),
        (None, None, False),
    ],
)
def test_site_names_the_roles_of_staff(setting: Any, roles: Any, refused: bool) -> None:
    made = make(**{} if setting is None else {"PHONE_VERIFY_STAFF_ROLES": setting})
    owner(made, roles=roles)
    assert (by_api(made).status_code == 403) is refused


def test_callback_receives_the_assurance() -> None:
    """The callback can refuse by channel and assurance."""
    made, told = make(**REVIEWER), []

    def find(redeemed: Redeemed) -> Any:
        told.append(redeemed)
        return None if redeemed.by_test_number else made.find_or_make(redeemed)

    made.app.extensions["phone_verify"].accounts.user_for_phone = find
    assert is_problem(by_api(made, "482193"), 403, "login_refused")
    (redeemed,) = told
    assert (redeemed.channel, redeemed.assurance, redeemed.short) == (Channel.SMS, Assurance.CODE, False)


@pytest.mark.parametrize("value", [True, "1", " On ", False, "0", "no"])
def test_staff_setting_triggers_a_warning(value: object) -> None:
    found = [f for f in examine(site.SiteConfig(values={"staff_sign_in_by_phone": value})) if f.rule == "staff"]
    opened = value in (True, "1", " On ")
    assert [(f.level, f.setting) for f in found] == [(Level.WARNING, "PHONE_VERIFY_STAFF_SIGN_IN_BY_PHONE")] * opened


@pytest.mark.parametrize("value", ["", "maybe", 1, 2, ["on"]])
def test_non_boolean_setting_is_refused(value: object) -> None:
    with pytest.raises(settings.ConfigurationError, match="True or False"):
        settings.Settings.from_mapping({"staff_sign_in_by_phone": value})
