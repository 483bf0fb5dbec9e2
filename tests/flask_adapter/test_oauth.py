"""docs/oauth.md, "Flask", taken literally: its site, and journeys on it."""

from __future__ import annotations

import importlib.util
import json as json_module
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flask import Flask

from phone_verify.errors import ConfigurationError, StoreError
from phone_verify_flask import PhoneVerify
from phone_verify_flask.state import KEY
from tests.django_adapter.projects import blocks, section
from tests.oauth_journeys import (
    CLIENT,
    OTHER,
    PARTNER,
    PHONE,
    PUBLIC,
    SECRET,
    START,
    UNLISTED,
    Answer,
    Client,
    OAuthJourneys,
)

pytest.importorskip("authlib")

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6750 import BearerTokenValidator

from phone_verify_flask.authlib import MobileVerification

KEY_OF_TESTS = "qwertyuiop-0123456789-asdfghjkl-0123456789"
SITE, NEW_CLIENT = (block for block in blocks(section("oauth.md", "Flask")) if block.language == "python")


class FlaskSite:
    def __init__(self, module: ModuleType, patch: pytest.MonkeyPatch) -> None:
        self.module, self.app, self._patch = module, module.app, patch
        for id in (CLIENT, PARTNER, UNLISTED, PUBLIC):
            exec(NEW_CLIENT.text.replace('"shop-app"', repr(id)), {})
        with self.app.app_context():
            for client in module.db.session.query(module.Client):
                client.client_secret = SECRET
                allowed = ["client_credentials", "refresh_token"]
                if client.client_id != UNLISTED:
                    allowed += ["mobile_verification", "event_mobile_verification"]
                method = "none" if client.client_id == PUBLIC else "client_secret_basic"
                metadata = {**client.client_metadata, "grant_types": allowed}
                client.set_client_metadata({**metadata, "token_endpoint_auth_method": method})
            module.db.session.commit()

    def call(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | str | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        extra: dict[str, Any] = {"headers": headers or {}}
        if isinstance(form, str):
            extra |= {"data": form, "content_type": "application/x-www-form-urlencoded"}
        elif form is not None:
            extra |= {"data": form}
        elif method == "POST":
            body = json if isinstance(json, bytes) else json_module.dumps(json)
            extra |= {"data": body, "content_type": "application/json"}
        if isinstance(json, dict) and "client_secret" in json:
            self._allow_post()
        answer = self.app.test_client(use_cookies=False).open(path, method=method, **extra)
        return Answer(answer.status_code, answer.get_json(silent=True, force=True), dict(answer.headers))

    def _allow_post(self) -> None:
        """Let the client authenticate in the body: a client of Authlib has one method."""
        with self.app.app_context():
            session = self.module.db.session
            client = session.query(self.module.Client).filter_by(client_id=CLIENT).one()
            client.set_client_metadata({**client.client_metadata, "token_endpoint_auth_method": "client_secret_post"})
            session.commit()

    def change_user(self, phone: str, **changes: bool) -> None:
        with self.app.app_context():
            session = self.module.db.session
            user = session.query(self.module.User).filter_by(phone=phone).one()
            if "is_active" in changes:
                user.active = changes["is_active"]
            session.commit()
        if "is_staff" in changes:
            self._patch.setattr(self.module.User, "is_staff", changes["is_staff"], raising=False)

    def expire_tokens(self) -> None:
        with self.app.app_context():
            session = self.module.db.session
            for token in session.query(self.module.Token):
                token.issued_at = int(time.time()) - token.expires_in - 3600
            session.commit()

    def users(self) -> int:
        with self.app.app_context():
            return int(self.module.db.session.query(self.module.User).count())

    @contextmanager
    def break_store(self) -> Iterator[None]:
        async def fail(*_: Any, **__: Any) -> Any:
            raise StoreError("down")

        store = self.app.extensions[KEY].site.verifier.flows._store
        with self._patch.context() as patch:
            patch.setattr(store, "recent", fail)
            yield


class TestFlask(OAuthJourneys):
    @pytest.fixture
    def site(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskSite]:
        monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
        monkeypatch.setenv("FLASK_SECRET_KEY", KEY_OF_TESTS)
        monkeypatch.setenv("FLASK_SQLALCHEMY_DATABASE_URI", f"sqlite:///{tmp_path}/site.sqlite3")
        monkeypatch.setenv("FLASK_TESTING", "true")
        monkeypatch.setenv("PHONE_VERIFY_SMS", "console://")
        assert SITE.name is not None
        path = tmp_path / SITE.name
        path.write_text(SITE.text, "utf-8")
        spec = importlib.util.spec_from_file_location("oauth_site", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "oauth_site", module)
        spec.loader.exec_module(module)
        yield FlaskSite(module, monkeypatch)
        with module.app.app_context():
            for engine in module.db.engines.values():
                engine.dispose()

    def test_tokens_of_users_and_clients_are_told_apart(
        self, site: FlaskSite, client: Client, phone_outbox: Any
    ) -> None:
        """A site with both: a user's token changes the number, a client's starts, any other is refused."""
        client.start()
        users = client.redeem(phone_outbox.last_code(PHONE), scope="profile").document["access_token"]

        def user_of(token: str) -> Any:
            found = site.module.db.session.query(site.module.Token).filter_by(access_token=token).one_or_none()
            return found and found.user_id and site.module.db.session.get(site.module.User, found.user_id)

        site.app.extensions[KEY].accounts.user_for_token = user_of
        client.start(OTHER)

        def start(token: str, purpose: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return site.call("POST", START, json={"phone": PHONE, "purpose": purpose}, headers=headers).status

        assert start(users, "confirm") == 201
        assert start(client.own_token(), "confirm") == 401
        assert start("x" * 42, "login") == 401
        check = {"Authorization": f"Bearer {users}", "Verification-Secret": "A" * 22}
        unknown = site.call("POST", f"{START}/{'A' * 44}/check", json={"code": "123456"}, headers=check)
        assert unknown.status == 404, "a user's token is no reason to refuse a check"


def _app() -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY=KEY_OF_TESTS, PHONE_VERIFY_STORE="memory:")
    PhoneVerify(app)
    return app


def _protector() -> ResourceProtector:
    protector = ResourceProtector()
    protector.register_token_validator(BearerTokenValidator())
    return protector


def _without_extension() -> None:
    MobileVerification(Flask(__name__), AuthorizationServer(), _protector())


def _without_validator() -> None:
    MobileVerification(_app(), AuthorizationServer(), ResourceProtector())


def _without_server() -> None:
    MobileVerification().register("mobile_verification")


def _twice() -> None:
    oauth = MobileVerification(_app(), AuthorizationServer(), _protector())
    oauth.register("mobile_verification")
    oauth.register("mobile_verification")


def _by_name(name: str) -> None:
    MobileVerification(_app(), AuthorizationServer(), _protector()).register(name)


def _by_purpose() -> None:
    oauth = MobileVerification(_app(), AuthorizationServer(), _protector())
    oauth.register("mobile_verification", purposes=["tickets"])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_without_extension, r"Write PhoneVerify\(app\)"),
        (_without_validator, "register_token_validator"),
        (_without_server, "Call init_app"),
        (_twice, "registered twice"),
        (lambda: _by_name("password"), "Use one like event_mobile_verification"),
        (lambda: _by_name("a grant"), "Use one like event_mobile_verification"),
        (_by_purpose, "tickets:open"),
    ],
)
def test_mistakes_are_startup_errors(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()
