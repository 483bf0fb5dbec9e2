"""Journeys of OAuth clients, for a site on either toolkit: docs/oauth.md, taken literally."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

PHONE, OTHER = "+989120000000", "+989120000001"
TOKEN, ME, START = "/o/token/", "/api/me/", "/phone/v1/verifications"
CLIENT, SECRET = "shop-app", "client-secret-of-the-tests"
PARTNER, UNLISTED, PUBLIC = "partner-app", "unlisted-app", "public-app"
GRANT, EVENT = "mobile_verification", "event_mobile_verification"


@dataclass(frozen=True)
class Answer:
    status: int
    document: Any
    headers: Mapping[str, str]

    @property
    def error(self) -> tuple[int, Any]:
        return self.status, self.document.get("error", self.document.get("code"))


class OAuthSite(Protocol):
    """The site under test. It has four clients with `SECRET`; CLIENT and PARTNER may use both grants."""

    def call(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | str | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer: ...

    def change_user(self, phone: str, **changes: bool) -> None:
        """Change fields of a user: `is_active` or `is_staff`."""
        ...

    def expire_tokens(self) -> None:
        """Make every access token expire an hour ago."""
        ...

    def users(self) -> int: ...

    def break_store(self) -> Any:
        """Return a context in which the store does not answer."""
        ...


def basic(client: str = CLIENT, secret: str = SECRET) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{client}:{secret}'.encode()).decode()}"}


class Client:
    """An OAuth client."""

    def __init__(self, site: OAuthSite, id: str = CLIENT) -> None:
        self.site, self.id = site, id

    def token(self, grant: str, **more: str) -> Answer:
        return self.site.call("POST", TOKEN, form={"grant_type": grant, **more}, headers=basic(self.id))

    def own_token(self, scope: str = "phone_verify") -> str:
        answer = self.token("client_credentials", scope=scope)
        assert answer.status == 200, answer
        return str(answer.document["access_token"])

    def start(self, phone: str = PHONE, **more: str) -> Any:
        headers = {"Authorization": f"Bearer {self.own_token()}"}
        answer = self.site.call("POST", START, json={"phone": phone, **more}, headers=headers)
        assert answer.status == 201, answer
        return answer.document

    def redeem(self, code: str, phone: str = PHONE, grant: str = GRANT, **more: str) -> Answer:
        return self.token(grant, mobile=phone, mobile_verification_code=code, **more)

    def me(self, token: str) -> Answer:
        return self.site.call("GET", ME, headers={"Authorization": f"Bearer {token}"})


class OAuthJourneys:
    @pytest.fixture
    def client(self, site: OAuthSite) -> Client:
        return Client(site)

    def test_client_signs_a_user_in_with_mobile_and_code(self, client: Client, phone_outbox: Any) -> None:
        client.start()
        answer = client.redeem(phone_outbox.last_code(PHONE), scope="profile")
        assert answer.status == 200
        assert answer.document["token_type"].lower() == "bearer"
        assert answer.document["expires_in"] > 0
        assert answer.document["refresh_token"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert client.me(answer.document["access_token"]).document == {"phone": PHONE}
        assert client.site.users() == 1

    def test_second_sign_in_is_the_same_user(self, client: Client, phone_outbox: Any) -> None:
        for _ in range(2):
            client.start()
            assert client.redeem(phone_outbox.last_code(PHONE)).status == 200
        assert client.site.users() == 1

    def test_id_and_secret_find_the_verification(self, client: Client, phone_outbox: Any) -> None:
        """A second user of the client who asks for the same number does not disturb the first."""
        first = client.start()
        code = phone_outbox.last_code(PHONE)
        client.start()
        held = {"verification_id": first["id"], "verification_secret": first["secret"]}
        if code != phone_outbox.last_code(PHONE):
            assert client.redeem(code).error == (400, "invalid_grant")
        assert client.redeem(code, **held).status == 200

    def test_start_without_a_token_can_be_redeemed(self, site: OAuthSite, client: Client, phone_outbox: Any) -> None:
        begun = site.call("POST", START, json={"phone": PHONE}).document
        code = phone_outbox.last_code(PHONE)
        assert client.redeem(code).error == (400, "invalid_grant"), "the client did not start it"
        held = {"verification_id": begun["id"], "verification_secret": begun["secret"]}
        assert client.redeem(code, **held).status == 200

    def test_proof_replaces_the_code(self, site: OAuthSite, client: Client, phone_outbox: Any) -> None:
        begun = client.start()
        checked = site.call(
            "POST",
            f"{START}/{begun['id']}/check",
            json={"code": phone_outbox.last_code(PHONE)},
            headers={"Verification-Secret": begun["secret"], "Authorization": f"Bearer {client.own_token()}"},
        )
        proof, secret = checked.document["proof"], begun["secret"]

        def exchange(phone: str = PHONE, shown: str = secret) -> Answer:
            return client.token(GRANT, mobile=phone, proof=proof, verification_secret=shown)

        assert exchange(OTHER).error == (400, "invalid_grant")
        assert exchange(shown="A" * 22).error == (400, "invalid_grant")
        assert exchange().status == 200
        assert exchange().error == (400, "invalid_grant")

    def test_code_works_once(self, client: Client, phone_outbox: Any) -> None:
        client.start()
        code = phone_outbox.last_code(PHONE)
        assert client.redeem(code).status == 200
        assert client.redeem(code).error == (400, "invalid_grant")

    def test_guesses_are_the_attempts_of_the_verification(self, client: Client, phone_outbox: Any) -> None:
        client.start()
        code = phone_outbox.last_code(PHONE)
        wrong = "000000" if code != "000000" else "111111"
        for _ in range(5):
            assert client.redeem(wrong).error == (400, "invalid_grant")
        assert client.redeem(code).error == (400, "invalid_grant")

    def test_failures_of_the_phone_lock_the_token_endpoint(self, client: Client, phone_outbox: Any) -> None:
        for _ in range(4):
            client.start()
            wrong = "000000" if phone_outbox.last_code(PHONE) != "000000" else "111111"
            answers = [client.redeem(wrong) for _ in range(5)]
        assert answers[0].error == (400, "invalid_grant")
        headers = {"Authorization": f"Bearer {client.own_token()}"}
        refused = client.site.call("POST", START, json={"phone": PHONE}, headers=headers)
        assert refused.error == (429, "too_many_requests")

    def test_another_client_cannot_use_the_code(self, site: OAuthSite, client: Client, phone_outbox: Any) -> None:
        client.start()
        code, partner = phone_outbox.last_code(PHONE), Client(site, PARTNER)
        assert partner.redeem(code).error == (400, "invalid_grant")
        partner.start()
        assert partner.redeem(code).error == (400, "invalid_grant") or code == phone_outbox.last_code(PHONE)
        assert client.redeem(code).status == 200

    def test_code_of_another_number_is_no_attempt(self, client: Client, phone_outbox: Any) -> None:
        begun = client.start()
        held = {"verification_id": begun["id"], "verification_secret": begun["secret"]}
        for _ in range(9):
            assert client.redeem("000000", OTHER, **held).error == (400, "invalid_grant")
        assert client.redeem(phone_outbox.last_code(PHONE)).status == 200

    def test_event_grant_is_judged_by_the_site(self, client: Client, phone_outbox: Any) -> None:
        for phone, event, status in [(PHONE, "1001", 200), (PHONE, "1002", 400), (OTHER, "1001", 400)]:
            client.start(phone)
            answer = client.redeem(phone_outbox.last_code(phone), phone, EVENT, event_id=event)
            assert answer.status == status, answer
            assert status == 200 or answer.document["error"] == "invalid_grant"
        assert client.site.users() == 1, "none was made for the refused number"

    def test_client_may_be_named_in_the_body(self, site: OAuthSite, client: Client, phone_outbox: Any) -> None:
        """The request of the documents that this grant comes from, in JSON."""
        client.start()
        request = {
            "grant_type": EVENT,
            "client_id": CLIENT,
            "client_secret": SECRET,
            "mobile": PHONE,
            "mobile_verification_code": phone_outbox.last_code(PHONE),
            "event_id": "1001",
        }
        wrong = site.call("POST", TOKEN, json={**request, "client_secret": "wrong"})
        assert wrong.document["error"] == "invalid_client"
        assert site.call("POST", TOKEN, json={**request, "mobile_verification_code": 123456}).status == 400
        repeated = json.dumps(request)[:-1] + ', "mobile": "+989120000009"}'
        assert site.call("POST", TOKEN, json=repeated.encode()).document["error"] == "invalid_request"
        assert site.call("POST", TOKEN, json=request).status == 200
        start = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET}
        assert site.call("POST", TOKEN, json=start).status == 200
        for body in ([], "x", [["grant_type", GRANT]], None, {"grant_type": GRANT}, {"grant_type": [GRANT]}):
            assert 400 <= site.call("POST", TOKEN, json=body).status < 500, body
        for name, value in ((name, "\ud800") for name in (*request, "refresh_token", "code_verifier")):
            assert 400 <= site.call("POST", TOKEN, json={**request, name: value}).status < 500, name
        assert 400 <= site.call("POST", TOKEN, json={**request, "\ud800": "x"}).status < 500
        for raw in (b"", b"[" * 100_000, b'{"grant_type": "\xff"}', b'{"grant_type": ' * 2000):
            assert 400 <= site.call("POST", TOKEN, json=raw).status < 500, raw[:20]

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"mobile": ""}, "invalid_request"),
            ({"mobile": "nobody"}, "invalid_request"),
            ({"mobile": "+98912"}, "invalid_request"),
            ({"mobile": "9" * 2000}, "invalid_request"),
            ({"mobile_verification_code": ""}, "invalid_request"),
            ({"mobile_verification_code": "12a"}, "invalid_request"),
            ({"mobile_verification_code": "1"}, "invalid_request"),
            ({"mobile_verification_code": "\u00b2\u00b2\u00b2\u00b2\u00b2\u00b2"}, "invalid_request"),
            ({"proof": "x", "verification_secret": "y"}, "invalid_request"),
            ({"verification_id": "x"}, "invalid_request"),
            ({"verification_secret": "x"}, "invalid_request"),
            ({"verification_id": "x", "verification_secret": "\0"}, "invalid_grant"),
            ({"grant_type": "no_such_grant"}, "unsupported_grant_type"),
            ({"grant_type": ""}, ("unsupported_grant_type", "invalid_request")),
        ],
    )
    def test_malformed_request_uses_no_attempt(
        self, client: Client, phone_outbox: Any, changes: Mapping[str, str], error: str | tuple[str, ...]
    ) -> None:
        client.start()
        right = {"grant_type": GRANT, "mobile": PHONE, "mobile_verification_code": phone_outbox.last_code(PHONE)}
        for _ in range(6):
            answer = client.site.call("POST", TOKEN, form={**right, **changes}, headers=basic())
            assert answer.status == 400
            assert answer.document["error"] in ((error,) if isinstance(error, str) else error)
            assert answer.headers["Cache-Control"] == "no-store"
        assert client.site.call("POST", TOKEN, form=right, headers=basic()).status == 200

    def test_repeated_parameter_is_refused(self, client: Client, phone_outbox: Any) -> None:
        client.start()
        code = phone_outbox.last_code(PHONE)
        form = f"grant_type={GRANT}&mobile={PHONE.replace('+', '%2B')}&mobile_verification_code={code}"
        more = "&mobile_verification_code=000000"
        assert client.site.call("POST", TOKEN, form=form + more, headers=basic()).error == (400, "invalid_request")
        of_event = form.replace(GRANT, EVENT, 1) + "&event_id=1002&event_id=1001"
        assert client.site.call("POST", TOKEN, form=of_event, headers=basic()).error == (400, "invalid_request")
        assert client.site.call("POST", TOKEN, form=form, headers=basic()).status == 200

    def test_client_must_authenticate(self, site: OAuthSite, client: Client, phone_outbox: Any) -> None:
        client.start()
        form = {"grant_type": GRANT, "mobile": PHONE, "mobile_verification_code": phone_outbox.last_code(PHONE)}
        for headers, more in [
            (basic(secret="wrong"), {}),
            (basic("nobody"), {}),
            ({}, {}),
            ({}, {"client_id": CLIENT}),
            ({}, {"client_id": CLIENT, "client_secret": ""}),
        ]:
            answer = site.call("POST", TOKEN, form={**form, **more}, headers=headers)
            assert answer.status in (400, 401)
            assert answer.document["error"] in ("invalid_client", "invalid_request")
        assert site.call("POST", TOKEN, form=form, headers=basic()).status == 200

    @pytest.mark.parametrize(
        "shown",
        [
            b"\xff\xfe:" + SECRET.encode(),
            f"{CLIENT}:\u00e9".encode(),
            f"{CLIENT}:%C3%A9".encode(),
            b"\0:x",
            b"%00:x",
            f"{CLIENT}:\0".encode(),
        ],
    )
    @pytest.mark.parametrize("grant", [GRANT, "client_credentials"])
    def test_credentials_that_no_client_can_have_are_refused(self, site: OAuthSite, shown: bytes, grant: str) -> None:
        form = {"grant_type": grant, "mobile": PHONE, "mobile_verification_code": "000000"}
        headers = {"Authorization": f"Basic {b64encode(shown).decode()}"}
        assert site.call("POST", TOKEN, form=form, headers=headers).error == (401, "invalid_client")
        id, _, secret = shown.decode("latin-1").partition(":")
        answer = site.call("POST", TOKEN, form={**form, "client_id": id, "client_secret": secret})
        assert answer.status in (400, 401)
        assert answer.document["error"] == "invalid_client"

    def test_only_listed_confidential_clients_use_the_grant(
        self, site: OAuthSite, client: Client, phone_outbox: Any
    ) -> None:
        begun = client.start()
        form = {"grant_type": GRANT, "mobile": PHONE, "mobile_verification_code": phone_outbox.last_code(PHONE)}
        form |= {"verification_id": begun["id"], "verification_secret": begun["secret"]}
        unlisted = site.call("POST", TOKEN, form=form, headers=basic(UNLISTED))
        assert unlisted.error == (400, "unauthorized_client")
        public = site.call("POST", TOKEN, form={**form, "client_id": PUBLIC})
        assert public.document["error"] in ("invalid_client", "unauthorized_client")
        assert site.call("POST", TOKEN, form=form, headers=basic()).status == 200

    def test_foreign_scope_uses_no_attempt(self, client: Client, phone_outbox: Any) -> None:
        client.start()
        code = phone_outbox.last_code(PHONE)
        for _ in range(6):
            answer = client.redeem(code, scope="admin_of_everything")
            assert answer.error == (400, "invalid_scope")
        assert client.redeem(code).status == 200

    def test_start_needs_the_clients_own_token_with_the_scope(
        self, site: OAuthSite, client: Client, phone_outbox: Any
    ) -> None:
        client.start()
        answer = client.redeem(phone_outbox.last_code(PHONE), scope="profile phone_verify")
        users = answer.document["access_token"]
        tokens = {
            "a user's": users,
            "without the scope": client.own_token("profile"),
            "an unlisted client's": Client(site, UNLISTED).own_token(),
            "unknown": "A" * 42,
            "not a token": "\u00e9\u00e9".encode().decode("latin-1"),
        }
        for what, token in tokens.items():
            headers = {"Authorization": f"Bearer {token}"}
            for path, body in ((START, {"phone": OTHER}), (f"{START}/{'A' * 44}/check", {"code": "123456"})):
                answer = site.call("POST", path, json=body, headers=headers)
                assert answer.error == (401, "not_signed_in"), what
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        valid = {"Authorization": f"Bearer {client.own_token()}"}
        site.expire_tokens()
        assert site.call("POST", START, json={"phone": OTHER}, headers=valid).status == 401
        assert site.call("POST", START, json={"phone": OTHER}).status == 201, "without a token as before"

    def test_client_starts_no_purpose_of_signed_in_users(self, site: OAuthSite, client: Client) -> None:
        headers = {"Authorization": f"Bearer {client.own_token()}"}
        for purpose in ("confirm", "change_phone"):
            answer = site.call("POST", START, json={"phone": PHONE, "purpose": purpose}, headers=headers)
            assert answer.error == (401, "not_signed_in")

    def test_start_with_a_token_sets_no_cookie(self, site: OAuthSite, client: Client, phone_outbox: Any) -> None:
        headers = {"Authorization": f"Bearer {client.own_token()}"}
        answer = site.call("POST", START, json={"phone": PHONE}, headers=headers)
        assert answer.status == 201
        assert "Set-Cookie" not in answer.headers

    def test_inactive_user_gets_and_refreshes_no_token(
        self, site: OAuthSite, client: Client, phone_outbox: Any
    ) -> None:
        client.start()
        tokens = client.redeem(phone_outbox.last_code(PHONE), scope="profile").document
        again = client.token("refresh_token", refresh_token=tokens["refresh_token"])
        assert again.status == 200
        site.change_user(PHONE, is_active=False)
        refused = client.token("refresh_token", refresh_token=again.document["refresh_token"])
        assert refused.status == 400, refused
        client.start()
        assert client.redeem(phone_outbox.last_code(PHONE)).error == (400, "invalid_grant")

    def test_staff_get_no_token_by_phone_alone(self, site: OAuthSite, client: Client, phone_outbox: Any) -> None:
        client.start()
        assert client.redeem(phone_outbox.last_code(PHONE)).status == 200
        site.change_user(PHONE, is_staff=True)
        client.start()
        assert client.redeem(phone_outbox.last_code(PHONE)).error == (400, "invalid_grant")

    def test_rotated_refresh_token_is_not_replayed(self, client: Client, phone_outbox: Any) -> None:
        client.start()
        tokens = client.redeem(phone_outbox.last_code(PHONE)).document
        assert client.token("refresh_token", refresh_token=tokens["refresh_token"]).status == 200
        assert client.token("refresh_token", refresh_token=tokens["refresh_token"]).status == 400

    def test_store_down_is_503(self, site: OAuthSite, client: Client, phone_outbox: Any) -> None:
        client.start()
        code = phone_outbox.last_code(PHONE)
        with site.break_store():
            answer = client.redeem(code)
        assert answer.error == (503, "temporarily_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert client.redeem(code).status == 200

    def test_logs_hold_neither_codes_nor_numbers(
        self, client: Client, phone_outbox: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        begun = client.start()
        code = phone_outbox.last_code(PHONE)
        wrong = "271828" if code != "271828" else "314159"
        client.redeem(wrong)
        client.redeem(wrong, verification_id=begun["id"], verification_secret=begun["secret"])
        answer = client.redeem(code)
        assert answer.status == 200
        # The form of the start's log line is the library's own; SQL at DEBUG is the database's.
        text = "\n".join(
            record.getMessage() for record in caplog.records if not record.name.startswith(("django.db", "sqlalchemy"))
        )
        for secret in (code, wrong, PHONE, PHONE[1:], begun["secret"], SECRET, answer.document["access_token"]):
            assert secret not in text


def redeem_together(count: int, redeem: Callable[[], Answer]) -> list[int]:
    """Return the statuses of this many requests with the same code, made simultaneously."""
    with ThreadPoolExecutor(count) as pool:
        return sorted(answer.status for answer in pool.map(lambda _: redeem(), range(count)))
