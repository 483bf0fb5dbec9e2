"""Flask-Security-Too with our sender and our checks: unified sign-in and the second factor, by its endpoints."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, current_app
from flask_security import MailUtil, Security, SQLAlchemyUserDatastore, uia_phone_mapper
from flask_security.models import fsqla_v3
from flask_security.recoverable import update_password
from flask_security.totp import Totp
from flask_sqlalchemy import SQLAlchemy
from passlib.totp import TOTP as TOTP_OF
from passlib.totp import AppWallet
from werkzeug.serving import make_server

from phone_verify.errors import StoreError
from phone_verify_flask import PhoneVerify, current_verifier
from phone_verify_flask.flask_security import PhoneTotp
from phone_verify_flask.signals import verification_failed
from tests.clients import Answer, HttpCarrier

from .sites import KEY, Made, proof, with_database

#: Flask-Security-Too 5.9 passes choices in a form that WTForms deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Passing SelectField choices:DeprecationWarning")

PHONE, OTHER = "+989120000000", "+989120000001"
OTHER_USER = "other@site.example"
PASSWORD = "a-password-for-tests-only"
TOTP: tuple[dict[str, str], str] = ({"1": "a-secret-for-tests-only-0123456789abcdef"}, "site.example")


@pytest.fixture(autouse=True)
def _keys_are_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets of authenticators are encrypted with two rounds of key derivation in place of thousands."""
    monkeypatch.setattr(AppWallet, "encrypt_cost", 1)


class Mails(MailUtil):
    """Record the emails of Flask-Security for the application that sends them."""

    def send_mail(self, *args: Any, **kwargs: Any) -> None:
        current_app.config["MAILS"].append(kwargs)


class Secured(Made):
    """A site with Flask-Security, whose first user has the phone."""

    datastore: Any

    @property
    def mails(self) -> list[dict[str, Any]]:
        """The sent emails: the code is `token`, or `login_token`."""
        found: list[dict[str, Any]] = self.app.config["MAILS"]
        return found

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
            "SECURITY_US_ENABLED_METHODS": ["password", "sms", "email", "authenticator"],
            "SECURITY_USER_IDENTITY_ATTRIBUTES": [
                {"email": {"mapper": lambda text: text.lower() if "@" in text else None}},
                {"us_phone_number": {"mapper": uia_phone_mapper}},
            ],
            "SECURITY_TWO_FACTOR": True,
            "SECURITY_TWO_FACTOR_ENABLED_METHODS": ["sms"],
            "MAILS": [],
            **config,
        }
    )
    made, db = Secured(app), SQLAlchemy(app)
    with_database.append((app, db))
    fsqla_v3.FsModels.set_db_info(db)
    role = type("Role", (db.Model, fsqla_v3.FsRoleMixin), {})
    user = type("User", (db.Model, fsqla_v3.FsUserMixin), {})
    made.datastore = SQLAlchemyUserDatastore(db, user, role)
    made.app.security = Security(app, made.datastore, totp_cls=PhoneTotp, mail_util_cls=Mails)  # type: ignore[attr-defined]
    PhoneVerify().init_app(app, transport=made.transport, clock=made.clock)
    with app.app_context():
        db.create_all()
        made.datastore.create_user(email="somebody@site.example", password=PASSWORD)
        made.datastore.commit()
    return made


@pytest.fixture
def made(tmp_path: Path) -> Secured:
    return make(tmp_path)


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The application on a port of this machine: its URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


def post(client: Any, path: str, **fields: Any) -> Any:
    return client.post(path, json=fields, headers={"Accept": "application/json"})


def with_sms(made: Secured, second: bool = False) -> None:
    """The user has set up SMS to sign in, or as a second factor."""
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
    """Return the code that Flask-Security itself would have sent."""
    with made.app.test_request_context():
        security = made.app.security  # type: ignore[attr-defined]
        secret = made.datastore.us_get_totp_secrets(made.user())["sms"]
        return str(security.totp_factory.generate_totp_password(secret))


def test_user_signs_in_by_our_code(made: Secured) -> None:
    with_sms(made)
    client = made.app.test_client()
    assert ask(made, client).status_code == 200
    assert [str(notice.text).count(made.code) for notice in made.transport.notices] == [1]
    assert re.search("[0-9]{6}", made.transport.notices[0].text)
    assert type_in(client, made.wrong_code).status_code == 400
    assert type_in(client, made.code).status_code == 200


def test_code_works_once_in_the_requesting_browser(made: Secured) -> None:
    with_sms(made)
    client, stranger = made.app.test_client(), made.app.test_client()
    ask(made, client)
    before = client.get_cookie("session").value
    assert type_in(stranger, made.code).status_code == 400
    assert type_in(client, made.code).status_code == 200
    replay = made.app.test_client()
    replay.set_cookie("session", before)
    assert type_in(replay, made.code).status_code == 400


def test_flask_security_code_is_refused(made: Secured) -> None:
    with_sms(made)
    client = made.app.test_client()
    for asked in (False, True):
        if asked:
            ask(made, client)
        assert type_in(client, totp_of(made)).status_code == 400


def test_attempts_are_counted_for_any_returned_cookie(made: Secured) -> None:
    with_sms(made)
    client = made.app.test_client()
    ask(made, client)
    cookie = client.get_cookie("session").value
    for _ in range(5):
        client.set_cookie("session", cookie)
        assert type_in(client, made.wrong_code).status_code == 400
    client.set_cookie("session", cookie)
    assert type_in(client, made.code).status_code == 400


def test_consecutive_failures_lock_the_number(tmp_path: Path) -> None:
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
def test_sends_obey_our_limits(tmp_path: Path, config: dict[str, Any], sends: int) -> None:
    made = make(tmp_path, **config)
    with_sms(made)
    client = made.app.test_client()
    answers = [ask(made, client).status_code for _ in range(3)]
    assert answers == [200] * sends + [500] * (3 - sends)
    assert len(made.transport.notices) == sends


def test_second_request_resends_code_without_new_attempts(made: Secured) -> None:
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


def with_secret(made: Secured, method: str) -> str:
    """Set up this method of unified sign-in for the user; return its secret."""
    with made.app.test_request_context():
        secret: str = made.app.security.totp_factory.generate_totp_secret()  # type: ignore[attr-defined]
        made.datastore.us_set(made.user(), method, secret)
        made.datastore.commit()
    return secret


def code_at(made: Secured, secret: str, seconds: int = 0) -> str:
    """Return the code of this secret, this many seconds from now."""
    factory = made.app.security.totp_factory  # type: ignore[attr-defined]
    return str(factory._totp.from_source(secret).generate(time=int(time.time()) + seconds).token)


def wrong_codes(made: Secured, secret: str) -> Iterator[str]:
    """Yield codes that this secret has at no time in these minutes."""
    near = {code_at(made, secret, seconds) for seconds in range(-600, 601, 30)}
    return (f"{n:06}" for n in range(10**6) if f"{n:06}" not in near)


def ask_by_mail(made: Secured, client: Any) -> str:
    """Request a sign-in code by email; return it."""
    asked = post(client, "/us-signin/send-code", identity="somebody@site.example", chosen_method="email")
    assert asked.status_code == 200
    return str(made.mails[-1]["login_token"])


@contextmanager
def judged(made: Secured) -> Iterator[list[Any]]:
    """Collect the wrong answers that are compared meanwhile."""
    found: list[Any] = []

    def note(app: Any, happened: Any, **_: Any) -> None:
        found.append(happened)

    verification_failed.connect(note, made.app)
    yield found
    verification_failed.disconnect(note, made.app)


def test_email_code_still_signs_in(made: Secured) -> None:
    with_secret(made, "email")
    client = made.app.test_client()
    code = ask_by_mail(made, client)
    assert made.transport.notices == []
    assert type_in(client, code).status_code == 200


def test_email_code_works_once_in_the_requesting_browser(made: Secured) -> None:
    with_secret(made, "email")
    client, stranger = made.app.test_client(), made.app.test_client()
    code = ask_by_mail(made, client)
    before = client.get_cookie("session").value
    assert type_in(stranger, code).status_code == 400
    assert type_in(client, code).status_code == 200
    replay = made.app.test_client()
    replay.set_cookie("session", before)
    assert type_in(replay, code).status_code == 400


def test_only_one_email_code_is_valid_at_a_time(made: Secured) -> None:
    secret = with_secret(made, "email")
    client = made.app.test_client()
    code = ask_by_mail(made, client)
    others = [other for seconds in (-60, -30, 30, 60) if (other := code_at(made, secret, seconds)) != code]
    assert [type_in(client, other).status_code for other in others[:4]] == [400] * len(others[:4])
    assert type_in(client, code).status_code == 200


def test_email_code_verifies_no_phone(made: Secured) -> None:
    """The session, which the visitor can read, holds the verification."""
    with_sms(made)
    with_secret(made, "email")
    client = made.app.test_client()
    code = ask_by_mail(made, client)
    with client.session_transaction() as kept:
        ((id, secret),) = (value for value in kept["_phone_verify_begun"].values() if value[0])
    headers = {"Verification-Secret": secret}
    checked = client.post(f"/phone/v1/verifications/{id}/check", json={"code": code}, headers=headers)
    made.app.extensions["phone_verify"].accounts.user_for_phone = lambda redeemed: made.user()
    for method, path in (("POST", "/phone/v1/session"), ("PUT", "/phone/v1/session/phone")):
        answer = client.open(path, method=method, json={"proof": checked.json["proof"]}, headers=headers)
        assert answer.status_code in (400, 401)


def test_email_link_works_in_another_browser(made: Secured) -> None:
    with_secret(made, "email")
    ask_by_mail(made, made.app.test_client())
    link = urlsplit(made.mails[-1]["login_link"])
    other = made.app.test_client()
    assert other.get(f"{link.path}?{link.query}").status_code == 302
    with other.session_transaction() as kept:
        assert "_user_id" in kept


def test_email_link_guesses_are_limited(tmp_path: Path) -> None:
    made = make(tmp_path, PHONE_VERIFY_MAX_FAILURES=3)
    secret = with_secret(made, "email")
    ask_by_mail(made, made.app.test_client())
    link = urlsplit(made.mails[-1]["login_link"])
    id = parse_qs(link.query)["id"][0]
    with judged(made) as failures:
        for code in islice(wrong_codes(made, secret), 10):
            made.app.test_client().get(link.path, query_string={"id": id, "code": code})
    assert len(failures) == 3
    other = made.app.test_client()
    other.get(f"{link.path}?{link.query}")
    with other.session_transaction() as kept:
        assert "_user_id" not in kept


def test_app_code_signs_in(made: Secured) -> None:
    secret = with_secret(made, "authenticator")
    assert type_in(made.app.test_client(), code_at(made, secret)).status_code == 200


@pytest.mark.parametrize("seconds", [-90, 90])
def test_app_code_works_for_one_time_step(made: Secured, seconds: int) -> None:
    secret = with_secret(made, "authenticator")
    assert type_in(made.app.test_client(), code_at(made, secret, seconds)).status_code == 400


def test_app_code_guesses_are_limited(tmp_path: Path) -> None:
    """Guessing them neither locks the phone nor counts malformed codes."""
    made = make(tmp_path, PHONE_VERIFY_MAX_FAILURES=3)
    with_sms(made)
    secret = with_secret(made, "authenticator")
    with judged(made) as failures:
        for typed in ("a wrong password", "12345", "1234567", *islice(wrong_codes(made, secret), 10)):
            assert type_in(made.app.test_client(), typed).status_code == 400
    assert len(failures) == 3
    assert type_in(made.app.test_client(), code_at(made, secret)).status_code == 400
    client = made.app.test_client()
    assert ask(made, client).status_code == 200
    assert type_in(client, made.code).status_code == 200


@pytest.mark.race
def test_burst_of_app_code_guesses_is_not_compared(tmp_path: Path) -> None:
    made = make(tmp_path, PHONE_VERIFY_MAX_FAILURES=3)
    codes = list(islice(wrong_codes(made, with_secret(made, "authenticator")), 12))
    gate = threading.Barrier(len(codes))

    def guess(code: str) -> None:
        gate.wait(10)
        type_in(made.app.test_client(), code)

    with judged(made) as failures:
        threads = [threading.Thread(target=guess, args=(code,)) for code in codes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(failures) == 3


def test_second_factor_follows_a_password(made: Secured) -> None:
    with_sms(made, second=True)
    client = made.app.test_client()
    answer = post(client, "/login", email="somebody@site.example", password=PASSWORD)
    assert answer.json["response"]["tf_required"] is True
    assert len(made.transport.notices) == 1
    assert post(client, "/tf-validate", code=made.wrong_code).status_code == 400
    assert post(client, "/tf-validate", code=made.code).status_code == 200


def subjects(made: Secured, client: Any) -> list[bool]:
    """Return for each entry of the session whether the user started it."""
    with made.app.app_context():
        verifier, own = current_verifier, current_verifier.flows.keyring.subject(made.user().fs_uniquifier)
        with client.session_transaction() as kept:
            found = [verifier.get(*pair).verification for pair in kept["_phone_verify_begun"].values() if pair[0]]
    return [record is not None and record.subject == own for record in found]


def test_only_a_second_factor_is_bound_to_the_user(made: Secured) -> None:
    with_sms(made, second=True)
    client = made.app.test_client()
    post(client, "/login", email="somebody@site.example", password=PASSWORD)
    assert subjects(made, client) == [True]
    with_sms(made)
    client = made.app.test_client()
    ask(made, client)
    assert subjects(made, client) == [False]


def test_email_second_factor_is_bound_to_the_user(made: Secured) -> None:
    with_sms(made, second=True)
    client = made.app.test_client()
    post(client, "/login", email="somebody@site.example", password=PASSWORD)
    post(client, "/tf-rescue", help_setup="email")
    assert made.mails
    assert subjects(made, client) == [True]


@pytest.mark.parametrize("second", [True, False])
def test_wrong_codes_count_for_the_address(tmp_path: Path, second: bool) -> None:
    made = make(tmp_path, PHONE_VERIFY_WRONG_PER_HOUR_PER_ADDRESS=1)
    with_sms(made, second)
    client = made.app.test_client()
    if second:
        post(client, "/login", email="somebody@site.example", password=PASSWORD)
    else:
        ask(made, client)
    for code in (made.wrong_code, made.code):
        answer = post(client, "/tf-validate", code=code) if second else type_in(client, code)
        assert answer.status_code == 400


def test_wrong_app_codes_count_for_the_address(tmp_path: Path) -> None:
    made = make(tmp_path, PHONE_VERIFY_WRONG_PER_HOUR_PER_ADDRESS=1)
    secret = with_secret(made, "authenticator")
    client = made.app.test_client()
    assert type_in(client, next(wrong_codes(made, secret))).status_code == 400
    assert type_in(client, code_at(made, secret)).status_code == 400


@pytest.mark.parametrize(("flow", "sends"), [("second", 5), ("first", 4), ("setup", 4)])
def test_only_a_second_factor_uses_the_reserved_fifth(tmp_path: Path, flow: str, sends: int) -> None:
    made = make(tmp_path, PHONE_VERIFY_SENDS_PER_HOUR_TOTAL=5, PHONE_VERIFY_SENDS_PER_HOUR=0)
    with_sms(made, second=flow == "second")
    if flow == "setup":
        other_user(made)
    for _ in range(7):
        client = made.app.test_client()
        if flow == "first":
            ask(made, client)
        elif flow == "second":
            post(client, "/login", email="somebody@site.example", password=PASSWORD)
        else:
            post(client, "/login", email=OTHER_USER, password=PASSWORD)
            post(client, "/tf-setup", setup="sms", phone=PHONE)
    assert len(made.transport.notices) == sends


def other_user(made: Secured) -> None:
    """Create a second user without any factor."""
    with made.app.app_context():
        made.datastore.create_user(email=OTHER_USER, password=PASSWORD)
        made.datastore.commit()


def test_setup_by_another_user_spends_nothing_of_second_factor(tmp_path: Path) -> None:
    """Flask-Security sends to any number that its user wants to set up."""
    made = make(tmp_path, PHONE_VERIFY_MAX_FAILURES=3, PHONE_VERIFY_SENDS_PER_HOUR=1)
    with_sms(made, second=True)
    other_user(made)
    stranger = made.app.test_client()
    post(stranger, "/login", email=OTHER_USER, password=PASSWORD)
    for _ in range(3):
        post(stranger, "/tf-setup", setup="sms", phone=PHONE)
        for _ in range(3):
            post(stranger, "/tf-validate", code=made.wrong_code)
    assert len(made.transport.notices) == 1
    client = made.app.test_client()
    assert post(client, "/login", email="somebody@site.example", password=PASSWORD).status_code == 200
    assert len(made.transport.notices) == 2
    assert post(client, "/tf-validate", code=made.code).status_code == 200


def test_app_of_another_user_leaves_phone_failures_alone(tmp_path: Path) -> None:
    """The other user keeps the phone's number too: Flask-Security has not verified it yet."""
    methods = ["sms", "authenticator"]
    made = make(tmp_path, PHONE_VERIFY_MAX_FAILURES=3, SECURITY_TWO_FACTOR_ENABLED_METHODS=methods)
    with_sms(made, second=True)
    other_user(made)
    guesser, stranger = made.app.test_client(), made.app.test_client()
    post(guesser, "/login", email="somebody@site.example", password=PASSWORD)
    with judged(made) as failures:
        for _ in range(2):
            post(guesser, "/tf-validate", code=made.wrong_code)
        post(stranger, "/login", email=OTHER_USER, password=PASSWORD)
        right = made.code
        post(stranger, "/tf-setup", setup="sms", phone=PHONE)
        key = post(stranger, "/tf-setup", setup="authenticator").json["response"]["tf_authr_key"]
        assert post(stranger, "/tf-validate", code=TOTP_OF(key=key).generate().token).status_code == 200
        for _ in range(3):
            post(guesser, "/tf-validate", code=f"{(int(right) + 1) % 10**6:06}")
    assert len(failures) == 3
    assert post(guesser, "/tf-validate", code=right).status_code == 400


def test_new_password_clears_no_failures(tmp_path: Path) -> None:
    made = make(tmp_path, PHONE_VERIFY_MAX_FAILURES=3)
    secret = with_secret(made, "authenticator")
    guesses = wrong_codes(made, secret)
    with judged(made) as failures:
        for _ in range(2):
            for _ in range(3):
                type_in(made.app.test_client(), next(guesses))
            with made.app.test_request_context():
                update_password(made.user(), PASSWORD)
                made.datastore.commit()
    assert len(failures) == 3


@pytest.mark.parametrize("method", ["sms", "email"])
def test_generic_responses_hide_exhausted_limits(tmp_path: Path, method: str) -> None:
    config = {"PHONE_VERIFY_SENDS_PER_HOUR": 1, "PHONE_VERIFY_MAX_FAILURES": 1}
    made = make(tmp_path, SECURITY_RETURN_GENERIC_RESPONSES=True, **config)
    with_sms(made)
    with_secret(made, "email")
    asked: list[list[Any]] = []
    for identity in ("somebody@site.example", "nobody@site.example"):
        client = made.app.test_client()
        asked.append([])
        for _ in range(3):
            answer = post(client, "/us-signin/send-code", identity=identity, chosen_method=method)
            asked[-1].append((answer.status_code, answer.json["response"].get("errors")))
            post(client, "/us-signin", identity=identity, passcode="000000")
    assert asked[0] == asked[1]


def test_second_factor_guesses_are_limited(made: Secured) -> None:
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


def by_http(carrier: HttpCarrier, path: str, **fields: Any) -> Answer:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    return carrier.send("POST", path, json.dumps(fields).encode(), headers)


def test_email_rescue_guesses_are_limited_over_http(made: Secured) -> None:
    """One POST to /tf-rescue must not switch the second factor to codes without a count."""
    with_sms(made, second=True)
    with made.app.app_context():
        guesses = wrong_codes(made, made.user().tf_totp_secret)
    with served(made.app) as url, judged(made) as failures:
        carrier, mails = HttpCarrier(url), 0
        assert by_http(carrier, "/login", email="somebody@site.example", password=PASSWORD).status == 200
        while by_http(carrier, "/tf-rescue", help_setup="email").status == 200 and mails < 20:
            mails += 1
            answers = {by_http(carrier, "/tf-validate", code=next(guesses)).status for _ in range(8)}
            assert answers == {400}
            assert len(failures) == 5 * mails  # as many as for a code sent by us
        assert (mails, len(failures)) == (4, 20)
        assert {by_http(carrier, "/tf-validate", code=next(guesses)).status for _ in range(50)} == {400}
        assert len(failures) == 20
        assert by_http(carrier, "/tf-validate", code=made.mails[-1]["token"]).status == 400


def test_email_rescue_signs_in_with_the_right_code(made: Secured) -> None:
    with_sms(made, second=True)
    client = made.app.test_client()
    post(client, "/login", email="somebody@site.example", password=PASSWORD)
    assert post(client, "/tf-rescue", help_setup="email").status_code == 200
    assert post(client, "/tf-validate", code=made.code).status_code == 400  # the newest counts
    assert post(client, "/tf-validate", code=made.mails[-1]["token"]).status_code == 200


def test_email_rescue_and_sms_share_a_failure_count(tmp_path: Path) -> None:
    made = make(tmp_path, PHONE_VERIFY_MAX_FAILURES=3)
    with_sms(made, second=True)
    client = made.app.test_client()
    post(client, "/login", email="somebody@site.example", password=PASSWORD)
    post(client, "/tf-validate", code=made.wrong_code)
    post(client, "/tf-rescue", help_setup="email")
    wrong = f"{(int(made.mails[-1]['token']) + 1) % 10**6:06}"
    with judged(made) as failures:
        for _ in range(5):
            post(client, "/tf-validate", code=wrong)
    assert len(failures) == 2
    assert post(client, "/tf-validate", code=made.mails[-1]["token"]).status_code == 400
    assert post(client, "/tf-rescue", help_setup="email").status_code == 500
    assert post(made.app.test_client(), "/login", email="somebody@site.example", password=PASSWORD).status_code == 500


def test_app_second_factor_attempts_are_counted(tmp_path: Path) -> None:
    made = make(tmp_path, PHONE_VERIFY_MAX_FAILURES=3)
    with made.app.app_context():
        secret = made.app.security.totp_factory.generate_totp_secret()  # type: ignore[attr-defined]
        made.datastore.tf_set(made.user(), "authenticator", totp_secret=secret)
        made.datastore.commit()
    good = made.app.test_client()
    post(good, "/login", email="somebody@site.example", password=PASSWORD)
    assert post(good, "/tf-validate", code=code_at(made, secret)).status_code == 200
    client = made.app.test_client()
    post(client, "/login", email="somebody@site.example", password=PASSWORD)
    assert post(client, "/tf-rescue", help_setup="email").status_code == 200
    with judged(made) as failures:
        for code in islice(wrong_codes(made, secret), 10):
            post(client, "/tf-validate", code=code)
    assert len(failures) == 3
    for code in (made.mails[-1]["token"], code_at(made, secret)):
        assert post(client, "/tf-validate", code=code).status_code == 400


@pytest.mark.parametrize("opened", [False, True])
def test_staff_do_not_sign_in_by_sms_alone(tmp_path: Path, opened: bool) -> None:
    made = make(tmp_path, PHONE_VERIFY_STAFF_ROLES="chief", PHONE_VERIFY_STAFF_SIGN_IN_BY_PHONE=opened)
    with_sms(made)
    with made.app.app_context():
        made.datastore.add_role_to_user(made.user(), made.datastore.create_role(name="chief"))
        made.datastore.commit()
    client = made.app.test_client()
    ask(made, client)
    assert type_in(client, made.code).status_code == (200 if opened else 400)


def test_staff_have_sms_as_second_factor(made: Secured) -> None:
    with_sms(made, second=True)
    with made.app.app_context():
        made.datastore.add_role_to_user(made.user(), made.datastore.create_role(name="admin"))
        made.datastore.commit()
    client = made.app.test_client()
    post(client, "/login", email="somebody@site.example", password=PASSWORD)
    assert post(client, "/tf-validate", code=made.code).status_code == 200


def test_number_is_set_up_by_our_code(made: Secured) -> None:
    client = made.app.test_client()
    post(client, "/us-signin", identity="somebody@site.example", passcode=PASSWORD)
    answer = post(client, "/us-setup", chosen_method="sms", phone=OTHER)
    assert answer.status_code == 200, answer.text
    state = answer.json["response"]["state"]
    without = made.app.test_client()
    post(without, "/us-signin", identity="somebody@site.example", passcode=PASSWORD)
    # The state alone, in a session that sent nothing, is never compared.
    assert post(without, f"/us-setup/{state}", passcode=made.code).status_code == 400
    assert post(client, f"/us-setup/{state}", passcode=made.wrong_code).status_code == 400
    assert post(client, f"/us-setup/{state}", passcode=made.code).status_code == 200
    with made.app.app_context():
        assert made.user().us_phone_number == OTHER


def test_session_holds_no_code_and_no_number(made: Secured) -> None:
    with_sms(made)
    client = made.app.test_client()
    ask(made, client)
    with client.session_transaction() as kept:
        written = repr(dict(kept))
    assert made.code not in written
    assert PHONE[3:] not in written


def test_test_number_is_no_second_factor_with_privileges(tmp_path: Path) -> None:
    made = make(tmp_path, PHONE_VERIFY_TEST_PASSCODES=f"{PHONE}=482193@2030-12-31")
    with_sms(made)
    made.datastore.user_model.is_staff = True
    client = made.app.test_client()
    ask(made, client)
    assert type_in(client, "482193").status_code == 400


def test_invalid_number_enables_no_flask_security_code(made: Secured) -> None:
    with made.app.app_context():
        secret = made.app.security.totp_factory.generate_totp_secret()  # type: ignore[attr-defined]
        made.datastore.us_set(made.user(), "sms", secret, "12")
        made.datastore.commit()
    client = made.app.test_client()
    assert ask(made, client).status_code == 500
    assert type_in(client, totp_of(made)).status_code == 400


def test_sender_without_our_checks_sends_nothing(made: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    with_sms(made)
    monkeypatch.setattr(made.app.security, "_totp_factory", Totp(*TOTP))  # type: ignore[attr-defined]
    assert ask(made, made.app.test_client()).status_code == 500
    assert made.transport.notices == []


def test_store_outage_signs_nobody_in(made: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    with_sms(made)
    client = made.app.test_client()
    ask(made, client)

    async def away(*_: object) -> None:
        raise StoreError("away")

    monkeypatch.setattr(made.app.extensions["phone_verify"].site.verifier.flows._store, "get", away)
    assert type_in(client, made.code).status_code == 400


@pytest.mark.parametrize(("second", "status"), [(True, 403), (False, 200)])
def test_user_with_a_second_factor_gets_no_token(made: Secured, second: bool, status: int) -> None:
    with_sms(made, second=second)
    accounts = made.app.extensions["phone_verify"].accounts
    accounts.user_for_phone = lambda redeemed: made.user()
    accounts.token_for_user = lambda user, redeemed: "a-token"
    client = made.app.test_client()
    answer = client.post("/phone/v1/token", json={"proof": proof(client, made)})
    assert answer.status_code == status
    assert answer.json.get("code") == ("mfa_required" if second else None)
    assert answer.json.get("token") == (None if second else "a-token")
