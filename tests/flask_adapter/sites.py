"""Small Flask sites for tests: users in a dict, SMS to a transport that records them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flask import Flask, session
from flask_login import LoginManager, UserMixin, current_user
from flask_sqlalchemy import SQLAlchemy
from werkzeug.test import TestResponse

from phone_verify import Channel, PhoneNumber
from phone_verify.model import Assurance, Redeemed
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.transport import FakeTransport
from phone_verify_flask import PhoneVerify
from tests import site_tokens

PHONE = "+989120000000"
KEY = "a-key-of-the-tests-0123456789abcdef"

#: The applications with a database that a test made; their connections are closed at its end.
with_database: list[tuple[Flask, SQLAlchemy]] = []


class User(UserMixin):
    """A user kept in a dict."""

    def __init__(self, id: str, phone: str) -> None:
        self.id, self.phone, self.active = id, phone, True

    @property
    def is_active(self) -> bool:
        return self.active


@dataclass
class Made:
    """A site under test and its environment."""

    app: Flask
    transport: FakeTransport = field(default_factory=FakeTransport)
    clock: ManualClock = field(default_factory=ManualClock)
    users: dict[str, User] = field(default_factory=dict)
    #: The calls of account callbacks, in order.
    asked: list[str] = field(default_factory=list)

    @property
    def code(self) -> str:
        """The code of the newest SMS."""
        found = re.search(r"\b([0-9]{6}) is your", self.transport.notices[-1].text)
        assert found
        return found.group(1)

    @property
    def wrong_code(self) -> str:
        return str((int(self.code) + 1) % 10**6).zfill(6)

    def find_or_make(self, redeemed: Any) -> tuple[User, bool]:
        self.asked.append("find or make")
        phone = redeemed.phone
        for user in self.users.values():
            if user.phone == phone.e164:
                return user, False
        user = User(f"u{len(self.users)}", phone.e164)
        self.users[user.id] = user
        return user, True

    def set_phone(self, user: User, redeemed: Any) -> bool:
        phone = redeemed.phone
        if any(other.phone == phone.e164 for other in self.users.values() if other.id != user.id):
            return False
        user.phone = phone.e164
        return True

    def user_for_token(self, token: str) -> Any:
        claims = site_tokens.claims_of(token)
        return claims and (self.users.get(claims["sub"]), claims["auth_time"])

    def load(self, id: str) -> User | None:
        self.asked.append("load")
        return self.users.get(id)


def make(
    name: str = "site",
    *,
    url_prefix: str | None = None,
    subdomain: str | None = None,
    extension: PhoneVerify | None = None,
    before: Callable[[Flask], object] = lambda app: None,
    **config: Any,
) -> Made:
    """A site with a page that shows the signed-in user; `config` holds settings, `before` prepares the application."""
    app = Flask(name, subdomain_matching=subdomain is not None)
    app.config.update(
        {
            "SECRET_KEY": KEY,
            "PHONE_VERIFY_STORE": "memory:",
            "PHONE_VERIFY_SMS": "console://",
            "TESTING": True,
            **config,
        }
    )
    made = Made(app)
    before(app)
    LoginManager(app).user_loader(made.load)
    phone_verify = extension or PhoneVerify()
    phone_verify.init_app(app, url_prefix, subdomain=subdomain, transport=made.transport, clock=made.clock)
    phone_verify.user_for_phone(made.find_or_make)
    phone_verify.set_phone_for_user(made.set_phone)

    @app.get("/")
    def home() -> str:
        session["seen"] = "before"
        return str(current_user.phone) if current_user.is_authenticated else "nobody"

    @app.get("/session")
    def keys() -> list[str]:
        return sorted(session)

    return made


def proof_of(phone: str) -> Redeemed:
    """Return the result of redeeming a code sent to this phone."""
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    return Redeemed(PhoneNumber(phone), "login", "default", Channel.SMS, Assurance.CODE, "id", at)


def token(page: TestResponse) -> str:
    """Return the CSRF token from the page."""
    found = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', page.text)
    assert found, page.text
    return found.group(1)


def submit(client: Any, path: str, **fields: str) -> TestResponse:
    """Submit a form of the page at `path`."""
    fields["csrf_token"] = token(client.get(path))
    response: TestResponse = client.post(path, data=fields)
    return response


def target(response: TestResponse) -> str:
    """Return where this redirect leads, without the random id of a verification."""
    return re.sub(r"\?verification=[^&]*$|verification=[^&]*&", "", str(response.location))


def follow(client: Any, response: TestResponse) -> TestResponse:
    """Load the page to which a form was redirected."""
    assert response.status_code == 303, response.text
    page: TestResponse = client.get(response.location)
    return page


def start(client: Any, phone: str = PHONE, purpose: str = "login", **more: Any) -> Any:
    """Start by the API; return the document."""
    response = client.post("/phone/v1/verifications", json={"phone": phone, "purpose": purpose}, **more)
    assert response.status_code == 201, response.text
    return response.json


def proof(client: Any, made: Made, phone: str = PHONE, purpose: str = "login") -> str:
    """Return the proof of a phone, by the API."""
    id = start(client, phone, purpose)["id"]
    response = client.post(f"/phone/v1/verifications/{id}/check", json={"code": made.code})
    assert response.status_code == 200, response.text
    return str(response.json["proof"])


def cookie_line(response: TestResponse, name: str) -> str | None:
    """Return the Set-Cookie header of this name."""
    return next((line for line in response.headers.getlist("Set-Cookie") if line.startswith(f"{name}=")), None)


def is_problem(response: TestResponse, status: int, code: str) -> bool:
    """Return whether the response is this problem, in full form."""
    assert response.content_type == "application/problem+json", response.text
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json is not None
    return (response.status_code, response.json["status"], response.json["code"]) == (status, status, code)
