"""Flask-Security-Too with our sender and our checks: unified sign-in and the second factor, by its own endpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_security import Security, SQLAlchemyUserDatastore, uia_phone_mapper
from flask_security.models import fsqla_v3
from flask_security.totp import Totp
from flask_sqlalchemy import SQLAlchemy

from phone_verify.errors import StoreError
from phone_verify_flask import PhoneVerify
from phone_verify_flask.security import PhoneTotp

from .sites import KEY, Made

#: Flask-Security-Too 5.9 writes choices in a way that WTForms will give up.
pytestmark = pytest.mark.filterwarnings("ignore:Passing SelectField choices:DeprecationWarning")

PHONE, OTHER = "+989120000000", "+989120000001"
PASSWORD = "a-password-for-tests-only"
TOTP: tuple[dict[str, str], str] = ({"1": "a-secret-for-tests-only-0123456789abcdef"}, "site.example")


#: What the sites of a test have opened.
_opened: list[tuple[Flask, SQLAlchemy]] = []


@pytest.fixture(autouse=True)
def _connections_are_closed() -> Iterator[None]:
    yield
    for app, db in _opened:
        with app.app_context():
            for engine in db.engines.values():
                engine.dispose()
    _opened.clear()


class Secured(Made):
    """A site with Flask-Security, whose first user has the phone."""

    datastore: Any

    def user(self) -> Any:
        return self.datastore.find_user(email="somebody@site.example")


def make(folder: Path, **config: Any) -> Secured:
    app = Flask("site", instance_path=str(folder))
    app.config.update(
        {
            "SECRET_KEY": KEY,
            "TESTING": True,
            "SQLALCHEMY_DATABASE_URI": "sqlite:///site.sqlite3",
            "PHONE_VERIFY_SMS": "console://",
            "PHONE_VERIFY_STORE": "memory:",
            "PHONE_VERIFY_RESEND_AFTER": 0,
            "WTF_CSRF_ENABLED": False,
            "SECURITY_PASSWORD_SALT": "salt-for-tests-only",
            "SECURITY_PASSWORD_HASH": "plaintext",
            "SECURITY_TOTP_SECRETS": TOTP[0],
            "SECURITY_TOTP_ISSUER": TOTP[1],
            "SECURITY_SMS_SERVICE": "phone-verify",
            "SECURITY_UNIFIED_SIGNIN": True,
            "SECURITY_US_ENABLED_METHODS": ["password", "sms", "email"],
            "SECURITY_USER_IDENTITY_ATTRIBUTES": [
                {"email": {"mapper": lambda text: text.lower() if "@" in text else None}},
                {"us_phone_number": {"mapper": uia_phone_mapper}},
            ],
            "SECURITY_TWO_FACTOR": True,
            "SECURITY_TWO_FACTOR_ENABLED_METHODS": ["sms"],
            **config,
        }
    )
    made, db = Secured(app), SQLAlchemy(app)
    _opened.append((app, db))
    fsqla_v3.FsModels.set_db_info(db)
    role = type("Role", (db.Model, fsqla_v3.FsRoleMixin), {})
    user = type("User", (db.Model, fsqla_v3.FsUserMixin), {})
    made.datastore = SQLAlchemyUserDatastore(db, user, role)
    made.app.security = Security(app, made.datastore, totp_cls=PhoneTotp)  # type: ignore[attr-defined]
    PhoneVerify().init_app(app, transport=made.transport, clock=made.clock)
    with app.app_context():
        db.create_all()
        made.datastore.create_user(email="somebody@site.example", password=PASSWORD)
        made.datastore.commit()
    return made


@pytest.fixture
def made(tmp_path: Path) -> Secured:
    return make(tmp_path)


def post(client: Any, path: str, **fields: Any) -> Any:
    return client.post(path, json=fields, headers={"Accept": "application/json"})


def with_sms(made: Secured, second: bool = False) -> None:
    """Somebody has set up SMS to sign in, or as a second factor."""
    with made.app.app_context():
        user, secret = made.user(), made.app.security.totp_factory.generate_totp_secret()  # type: ignore[attr-defined]
        if second:
            made.datastore.tf_set(user, "sms", totp_secret=secret, phone=PHONE)
        else:
            made.datastore.us_set(user, "sms", secret, PHONE)
        made.datastore.commit()


def ask(made: Secured, client: Any) -> Any:
    return post(client, "/us-signin/send-code", identity="somebody@site.example", chosen_method="sms")


def type_in(client: Any, code: str) -> Any:
    return post(client, "/us-signin", identity="somebody@site.example", passcode=code)


def totp_of(made: Secured) -> str:
    """What Flask-Security itself would have sent."""
    with made.app.test_request_context():
        security = made.app.security  # type: ignore[attr-defined]
        secret = made.datastore.us_get_totp_secrets(made.user())["sms"]
        return str(security.totp_factory.generate_totp_password(secret))


def test_a_sign_in_by_a_code_of_ours(made: Secured) -> None:
    with_sms(made)
    client = made.app.test_client()
    assert ask(made, client).status_code == 200
    assert [str(notice.text).count(made.code) for notice in made.transport.notices] == [1]
    assert re.search("[0-9]{6}", made.transport.notices[0].text)
    assert type_in(client, made.wrong_code).status_code == 400
    assert type_in(client, made.code).status_code == 200


def test_a_code_is_good_once_and_only_where_it_was_asked_for(made: Secured) -> None:
    with_sms(made)
    client, stranger = made.app.test_client(), made.app.test_client()
    ask(made, client)
    before = client.get_cookie("session").value
    assert type_in(stranger, made.code).status_code == 400
    assert type_in(client, made.code).status_code == 200
    replay = made.app.test_client()
    replay.set_cookie("session", before)
    assert type_in(replay, made.code).status_code == 400


def test_flask_securitys_own_code_is_none(made: Secured) -> None:
    with_sms(made)
    client = made.app.test_client()
    for asked in (False, True):
        if asked:
            ask(made, client)
        assert type_in(client, totp_of(made)).status_code == 400


def test_tries_are_counted_by_us_whatever_cookie_comes_back(made: Secured) -> None:
    with_sms(made)
    client = made.app.test_client()
    ask(made, client)
    cookie = client.get_cookie("session").value
    for _ in range(5):
        client.set_cookie("session", cookie)
        assert type_in(client, made.wrong_code).status_code == 400
    client.set_cookie("session", cookie)
    assert type_in(client, made.code).status_code == 400


def test_failures_in_a_row_lock_the_number_over_all_codes(tmp_path: Path) -> None:
    made = make(tmp_path, PHONE_VERIFY_MAX_FAILURES=3)
    with_sms(made)
    for _ in range(3):
        client = made.app.test_client()
        ask(made, client)
        assert type_in(client, made.wrong_code).status_code == 400
    client, sent = made.app.test_client(), len(made.transport.notices)
    assert ask(made, client).status_code == 500
    assert len(made.transport.notices) == sent


@pytest.mark.parametrize(
    ("config", "sends"),
    [
        ({"PHONE_VERIFY_SENDS_PER_HOUR": 2}, 2),
        ({"PHONE_VERIFY_SENDS_PER_HOUR_PER_ADDRESS": 2}, 2),
        ({"PHONE_VERIFY_SENDS_PER_HOUR_PER_PREFIX": 2}, 2),
        ({"PHONE_VERIFY_SENDS_PER_HOUR_TOTAL": 2}, 2),
        ({"PHONE_VERIFY_ALLOWED_REGIONS": "RU"}, 0),
    ],
)
def test_sends_are_under_our_limits(tmp_path: Path, config: dict[str, Any], sends: int) -> None:
    made = make(tmp_path, **config)
    with_sms(made)
    client = made.app.test_client()
    answers = [ask(made, client).status_code for _ in range(3)]
    assert answers == [200] * sends + [500] * (3 - sends)
    assert len(made.transport.notices) == sends


def test_asking_again_sends_the_same_code_and_gives_no_try_back(made: Secured) -> None:
    with_sms(made)
    client = made.app.test_client()
    ask(made, client)
    first = made.code
    for _ in range(4):
        type_in(client, made.wrong_code)
    ask(made, client)
    assert made.code == first
    type_in(client, made.wrong_code)
    assert type_in(client, first).status_code == 400


def test_a_code_by_mail_still_signs_in(made: Secured) -> None:
    with_sms(made)
    with made.app.test_request_context():
        factory = made.app.security.totp_factory  # type: ignore[attr-defined]
        secret = factory.generate_totp_secret()
        made.datastore.us_set(made.user(), "email", secret)
        made.datastore.commit()
        code = factory._totp.from_source(secret).generate().token
    assert type_in(made.app.test_client(), code).status_code == 200


def test_the_second_factor_after_a_password(made: Secured) -> None:
    with_sms(made, second=True)
    client = made.app.test_client()
    answer = post(client, "/login", email="somebody@site.example", password=PASSWORD)
    assert answer.json["response"]["tf_required"] is True
    assert len(made.transport.notices) == 1
    assert post(client, "/tf-validate", code=made.wrong_code).status_code == 400
    assert post(client, "/tf-validate", code=made.code).status_code == 200


def test_the_second_factor_is_not_guessed(made: Secured) -> None:
    with_sms(made, second=True)
    client = made.app.test_client()
    post(client, "/login", email="somebody@site.example", password=PASSWORD)
    for _ in range(5):
        post(client, "/tf-validate", code=made.wrong_code)
    assert post(client, "/tf-validate", code=made.code).status_code == 400
    other = made.app.test_client()
    other_login = post(other, "/login", email="somebody@site.example", password=PASSWORD)
    assert other_login.status_code == 200
    assert post(other, "/tf-validate", code="").status_code == 400


def test_a_number_is_set_up_by_a_code_of_ours(made: Secured) -> None:
    client = made.app.test_client()
    post(client, "/us-signin", identity="somebody@site.example", passcode=PASSWORD)
    answer = post(client, "/us-setup", chosen_method="sms", phone=OTHER)
    assert answer.status_code == 200, answer.text
    state = answer.json["response"]["state"]
    without = made.app.test_client()
    post(without, "/us-signin", identity="somebody@site.example", passcode=PASSWORD)
    # The state alone, in a session in which nothing was sent, is checked by nobody.
    assert post(without, f"/us-setup/{state}", passcode=made.code).status_code == 400
    assert post(client, f"/us-setup/{state}", passcode=made.wrong_code).status_code == 400
    assert post(client, f"/us-setup/{state}", passcode=made.code).status_code == 200
    with made.app.app_context():
        assert made.user().us_phone_number == OTHER


def test_no_code_and_no_number_is_in_the_session(made: Secured) -> None:
    with_sms(made)
    client = made.app.test_client()
    ask(made, client)
    with client.session_transaction() as kept:
        written = repr(dict(kept))
    assert made.code not in written
    assert PHONE[3:] not in written


def test_a_fixed_code_is_no_second_factor_for_who_has_rights(tmp_path: Path) -> None:
    made = make(tmp_path, PHONE_VERIFY_TEST_PASSCODES=f"{PHONE}=482193@2030-12-31")
    with_sms(made)
    made.datastore.user_model.is_staff = True
    client = made.app.test_client()
    ask(made, client)
    assert type_in(client, "482193").status_code == 400


def test_after_a_number_that_is_none_flask_securitys_code_is_none_either(made: Secured) -> None:
    with made.app.app_context():
        secret = made.app.security.totp_factory.generate_totp_secret()  # type: ignore[attr-defined]
        made.datastore.us_set(made.user(), "sms", secret, "12")
        made.datastore.commit()
    client = made.app.test_client()
    assert ask(made, client).status_code == 500
    assert type_in(client, totp_of(made)).status_code == 400


def test_a_sender_without_our_checks_sends_nothing(made: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    with_sms(made)
    monkeypatch.setattr(made.app.security, "_totp_factory", Totp(*TOTP))  # type: ignore[attr-defined]
    assert ask(made, made.app.test_client()).status_code == 500
    assert made.transport.notices == []


def test_a_store_that_is_away_lets_nobody_in(made: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    with_sms(made)
    client = made.app.test_client()
    ask(made, client)

    async def away(*_: object) -> None:
        raise StoreError("away")

    monkeypatch.setattr(made.app.extensions["phone_verify"].site.verifier.flows._store, "get", away)
    assert type_in(client, made.code).status_code == 400
