"""The scenarios of clients without cookies: they exchange a proof for the site's token, and present it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .clients import Answer
from .scenarios import Stage, conforms, proven, refused, signed_in

AWAY = {"Origin": "https://elsewhere.example"}


@dataclass
class Program:
    """A client that keeps no cookie: every call is the first of a new browser."""

    stage: Stage
    token: str = ""

    def call(
        self, method: str, path: str, document: object = None, secret: str | None = None, **headers: str
    ) -> Answer:
        sent = {"Authorization": f"Bearer {self.token}", **headers} if self.token else headers
        return self.stage.browser().call(method, path, document, secret=secret, headers=sent)

    def proven(self, phone: str, purpose: str = "login") -> tuple[str, str]:
        """Return a proof and its secret."""
        answer = self.call("POST", "v1/verifications", {"phone": phone, "channel": "sms", "purpose": purpose})
        conforms(answer, 201, "StartedVerification")
        id, secret = answer.json()["id"], answer.json()["secret"]
        answer = self.call("POST", f"v1/verifications/{id}/check", {"code": self.stage.code(phone)}, secret)
        conforms(answer, 200, "Verification")
        return answer.json()["proof"], secret

    def exchange(self, phone: str) -> Any:
        """Exchange a proof for a token, and present that from now on; return the response."""
        proof, secret = self.proven(phone)
        answer = self.call("POST", "v1/token", {"proof": proof}, secret)
        conforms(answer, 200, "TokenIssued")
        self.token = answer.json()["token"]
        return answer.json()

    def change(self, phone: str, purpose: str = "change_phone", **headers: str) -> Answer:
        """Redeem a proof of this number at `v1/session/phone`."""
        proof, secret = self.proven(phone, purpose)
        return self.call("PUT", "v1/session/phone", {"proof": proof}, secret, **headers)


def a_program_without_cookies_gets_a_token(stage: Stage) -> None:
    """By the rules of sign-in: once, with the secret; no cookie is set and no session opened."""
    program, phone = Program(stage), stage.phone()
    proof, secret = program.proven(phone)
    refused(program.call("POST", "v1/token", {"proof": proof}), 400, "invalid_proof")
    refused(program.call("POST", "v1/token", {"proof": proof}, secret, **AWAY), 403, "cross_site")
    refused(program.call("POST", "v1/token", {"proof": 5}, secret), 400, "invalid_request", fields=["proof"])
    answer = program.call("POST", "v1/token", {"proof": proof}, secret)
    conforms(answer, 200, "TokenIssued")
    assert not answer.cookies
    document = answer.json()
    assert (document["user"]["phone"], document["created"]) == (phone, True)
    for path in ("v1/token", "v1/session"):
        refused(program.call("POST", path, {"proof": proof}, secret), 400, "invalid_proof")
    program.token = document["token"]
    answer = program.call("GET", "v1/session")
    conforms(answer, 200, "Session")
    assert answer.json()["user"] == document["user"]
    again = Program(stage).exchange(phone)
    assert (again["user"]["id"], again["created"]) == (document["user"]["id"], False)
    refused(program.call("GET", "v1/token"), 405, "method_not_allowed")


def a_program_changes_its_number(stage: Stage) -> None:
    """The exchange has just verified the present number; other tokens and other proofs do not."""
    program, new = Program(stage), stage.phone()
    user = program.exchange(stage.phone())["user"]
    answer = program.change(new)
    conforms(answer, 200, "Session")
    assert answer.json()["user"] == {**user, "phone": new}
    assert not answer.cookies
    assert program.call("GET", "v1/session").json()["user"]["phone"] == new
    assert Program(stage).exchange(new)["user"]["id"] == user["id"]
    other = Program(stage)
    other.exchange(stage.phone())
    proof, secret = other.proven(stage.phone(), "change_phone")
    refused(program.call("PUT", "v1/session/phone", {"proof": proof}, secret), 400, "invalid_proof")


def a_token_decides_alone(stage: Stage) -> None:
    """The session cookie of the same request is not read, also if the token is not valid."""
    program, browser = Program(stage), stage.browser()
    user = program.exchange(stage.phone())["user"]
    phone = signed_in(stage, browser)
    bearer = {"Authorization": f"Bearer {program.token}"}
    assert browser.call("GET", "v1/session", headers=bearer).json()["user"] == user
    for wrong in (program.token + "x", "x", "", "a b", "x" * 4000):
        answer = browser.call("GET", "v1/session", headers={"Authorization": f"Bearer {wrong}"})
        refused(answer, 401, "not_signed_in")
        assert answer.headers["www-authenticate"] == "Bearer"
    # What a browser adds by itself is not a token.
    basic = browser.call("GET", "v1/session", headers={"Authorization": "Basic dXNlcjpwYXNz"})
    assert basic.json()["user"]["phone"] == phone
    # A proof of the session's user is not one of the token's.
    proof = proven(stage, browser, phone, "confirm")
    refused(browser.call("PUT", "v1/session/phone", {"proof": proof}, headers=bearer), 400, "invalid_proof")
    assert browser.call("PUT", "v1/session/phone", {"proof": proof}).status == 200
    assert browser.call("GET", "v1/session").json()["user"]["phone"] == phone


def a_token_that_is_not_valid_is_401(stage: Stage) -> None:
    """For what needs a user; a start that needs none is not refused."""
    program, phone = Program(stage, "expired"), stage.phone()
    for method, path, document in (
        ("GET", "v1/session", None),
        ("PUT", "v1/session/phone", {"proof": "x"}),
        ("POST", "v1/verifications", {"phone": phone, "purpose": "confirm"}),
        ("POST", "v1/verifications", {"phone": phone, "purpose": "change_phone"}),
    ):
        answer = program.call(method, path, document)
        refused(answer, 401, "not_signed_in")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert "www-authenticate" not in Program(stage).call("GET", "v1/session").headers
    assert program.exchange(phone)["user"]["phone"] == phone


def a_token_allows_no_other_origin(stage: Stage) -> None:
    """An origin that is not listed is refused; a listed one has its CORS headers."""
    program = Program(stage)
    phone = stage.phone()
    program.exchange(phone)
    proof, secret = program.proven(phone, "confirm")
    call = ("PUT", "v1/session/phone", {"proof": proof}, secret)
    refused(program.call(*call, **AWAY), 403, "cross_site")
    refused(program.call(*call, **{"Sec-Fetch-Site": "cross-site", **AWAY}), 403, "cross_site")
    answer = program.call(*call, **{"Sec-Fetch-Site": "cross-site", "Origin": "https://spa.example"})
    conforms(answer, 200, "Session")
    assert answer.headers["access-control-allow-origin"] == "https://spa.example"
    for origin in ("https://spa.example", "https://elsewhere.example"):
        answer = Program(stage).call("OPTIONS", "v1/token", Origin=origin)
        assert answer.status == 204
        assert ("access-control-allow-methods" in answer.headers) == (origin == "https://spa.example")


TOKEN_SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        a_program_without_cookies_gets_a_token,
        a_program_changes_its_number,
        a_token_decides_alone,
        a_token_that_is_not_valid_is_401,
        a_token_allows_no_other_origin,
    )
}
