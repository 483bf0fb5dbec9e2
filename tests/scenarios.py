"""The required behaviour of a site: every function here is a scenario that runs on every target.

A scenario gets a `Stage`: browsers of the site under test, and the phone network of the site. Times are not moved
here; the site under test is configured with `PHONE_VERIFY_RESEND_AFTER=0` and without shared quotas (`SETTINGS`).
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import jsonschema

from phone_verify.api.openapi import openapi
from phone_verify.sandbox import SandboxServer

from .clients import Answer, Browser, Carrier, hidden_fields, hidden_token

#: How a site under test is configured, next to the DSNs of the sandbox.
SETTINGS = {
    "resend_after": "0",
    "sends_per_hour": "5",
    "sends_per_hour_per_address": "0",
    "sends_per_hour_per_prefix": "0",
    "sends_per_hour_total": "0",
    "max_attempts": "3",
    "allowed_regions": "IR,RU",
    "trusted_origins": "https://spa.example, capacitor://localhost",
}

_numbers = itertools.count(1000)


@dataclass
class Stage:
    """A site under test and its phone network."""

    carrier: Callable[[], Carrier]
    sandbox: SandboxServer

    def browser(self) -> Browser:
        """A new visitor, without cookies."""
        return Browser(self.carrier())

    def phone(self) -> str:
        """Return an unused number: an invented one of the first Iranian mobile range."""
        return f"+98912000{next(_numbers) % 10000:04d}"

    def code(self, phone: str) -> str:
        """Return the newest code of this handset."""
        answer = self._network().send("GET", f"/api/handsets/{quote(phone)}/code?wait=20", b"", {})
        assert answer.status == 200, answer.text
        code = answer.json()["code"]
        assert isinstance(code, str)
        return code

    def dial(self, phone: str, number: str, **more: object) -> Any:
        """Call a number from the handset."""
        answer = Browser(self._network(), f"/api/handsets/{quote(phone)}/").call(
            "POST", "dial", {"number": number, **more}
        )
        assert answer.status == 200, answer.text
        return answer.json()

    def arrived(self, phone: str) -> int:
        """Return the number of messages and calls of this handset."""
        answer = self._network().send("GET", f"/api/handsets/{quote(phone)}", b"", {})
        if answer.status == 404:
            return 0
        handset = answer.json()
        return len(handset["messages"]) + len(handset["calls"])

    def _network(self) -> Carrier:
        from .clients import HttpCarrier

        return HttpCarrier(self.sandbox.url)


def wrong(code: str) -> str:
    """Return another code of the same length."""
    return str((int(code) + 1) % 10 ** len(code)).zfill(len(code))


def start(browser: Browser, phone: str, **fields: str) -> dict[str, Any]:
    """Start successfully."""
    answer = browser.call("POST", "v1/verifications", {"phone": phone, **fields})
    conforms(answer, 201, "StartedVerification")
    document = answer.json()
    assert isinstance(document, dict)
    return document


def conforms(answer: Answer, status: int, schema: str) -> None:
    """Assert that the response has this status and matches the description."""
    assert answer.status == status, (answer.status, answer.text)
    assert answer.headers["cache-control"] == "no-store"
    description = openapi()
    jsonschema.validate(
        answer.json(), {"$ref": f"#/components/schemas/{schema}", "components": description["components"]}
    )


def refused(answer: Answer, status: int, code: str, **more: object) -> dict[str, Any]:
    """Assert that the response is this problem, in full form."""
    conforms(answer, status, "Problem")
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert (document["status"], document["code"]) == (status, code), document
    assert more.items() <= document.items(), document
    if status in (429, 503):
        assert int(answer.headers["retry-after"]) == document["retry_after"]
    return dict(document)


def sms_to_session(stage: Stage) -> None:
    """A code by SMS, a wrong attempt, the right one, the proof, the session, and sign-out."""
    browser, phone = stage.browser(), stage.phone()
    begun = start(browser, phone, channel="sms")
    assert begun["status"] == "sent"
    assert begun["code_length"] == 6
    assert begun["attempts_left"] == 3
    assert 0 < begun["expires_in"] <= 300
    assert begun["phone_hint"].startswith("+98 ")
    assert phone[3:-2] not in str(begun)
    id, code = begun["id"], stage.code(phone)
    refused(
        browser.call("POST", f"v1/verifications/{id}/check", {"code": wrong(code)}), 422, "wrong_code", attempts_left=2
    )
    answer = browser.call("POST", f"v1/verifications/{id}/check", {"code": code})
    conforms(answer, 200, "Verification")
    proof = answer.json()["proof"]
    assert answer.json()["status"] == "verified"
    assert browser.call("GET", f"v1/verifications/{id}").json()["proof"] == proof
    refused(browser.call("GET", "v1/session"), 401, "not_signed_in")
    answer = browser.call("POST", "v1/session", {"proof": proof})
    conforms(answer, 200, "SignedIn")
    assert answer.json()["user"]["phone"] == phone
    assert answer.json()["created"] is True
    assert browser.call("GET", f"v1/verifications/{id}").json()["proof"] is None
    refused(browser.call("POST", "v1/session", {"proof": proof}), 400, "invalid_proof")
    answer = browser.call("GET", "v1/session")
    conforms(answer, 200, "Session")
    assert answer.json()["user"]["phone"] == phone
    assert browser.call("DELETE", "v1/session").status == 204
    refused(browser.call("GET", "v1/session"), 401, "not_signed_in")


def a_known_number_is_the_same_user(stage: Stage) -> None:
    """Signing in again, from another browser, with header instead of cookie: the same user, not a new one."""
    phone, users = stage.phone(), []
    for _ in range(2):
        browser, client = stage.browser(), stage.browser()
        begun = start(browser, phone, channel="sms")
        secret = begun["secret"]
        path = f"v1/verifications/{begun['id']}"
        proof = client.call("POST", f"{path}/check", {"code": stage.code(phone)}, secret=secret).json()["proof"]
        answer = client.call("POST", "v1/session", {"proof": proof}, secret=secret)
        conforms(answer, 200, "SignedIn")
        users.append(answer.json())
    assert users[0]["user"] == users[1]["user"]
    assert [user["created"] for user in users] == [True, False]


def flash_call_to_session(stage: Stage) -> None:
    """The end of the caller's number is the code; it is short, and runs under the short-code policy."""
    browser, phone = stage.browser(), stage.phone()
    begun = start(browser, phone, channel="flash_call")
    assert begun["attempts_left"] == 3
    assert begun["expires_in"] <= 180
    code = stage.code(phone)
    assert begun["code_length"] == len(code)
    assert begun["caller_hint"]
    answer = browser.call("POST", f"v1/verifications/{begun['id']}/check", {"code": code})
    conforms(answer, 200, "Verification")
    assert browser.call("POST", "v1/session", {"proof": answer.json()["proof"]}).status == 200


def inbound_call_to_session(stage: Stage) -> None:
    """The user calls the displayed number; only the browser that started can use it."""
    browser, phone = stage.browser(), stage.phone()
    begun = start(browser, phone, channel="inbound_call")
    dial = begun["dial"]
    assert dial["uri"] == f"tel:{dial['number']}"
    assert dial["qr"].startswith("data:image/svg+xml")
    assert begun["code_length"] is None
    assert begun["attempts_left"] is None
    assert begun["expires_in"] <= 120
    path = f"v1/verifications/{begun['id']}"
    refused(browser.call("POST", f"{path}/check", {"code": "1234"}), 400, "invalid_request", fields=["code"])
    stage.dial(phone, dial["number"])
    answer = browser.call("GET", path)
    conforms(answer, 200, "Verification")
    assert answer.json()["status"] == "verified"
    refused(stage.browser().call("POST", "v1/session", {"proof": answer.json()["proof"]}), 400, "invalid_proof")
    assert browser.call("POST", "v1/session", {"proof": answer.json()["proof"]}).status == 200


def a_code_and_a_call_live_side_by_side(stage: Stage) -> None:
    """A call asked for after an SMS keeps the code, and the other way round; either verifies, once."""
    for first, second, calls in (("sms", "inbound_call", False), ("inbound_call", "sms", True)):
        browser, phone = stage.browser(), stage.phone()
        begun = start(browser, phone, channel=first)
        path = f"v1/verifications/{begun['id']}"
        answer = browser.call("POST", f"{path}/resend", {"channel": second})
        conforms(answer, 200, "Verification")
        both = answer.json()
        assert (both["channel"], both["code_length"], both["attempts_left"]) == (second, 6, 3)
        assert both["dial"]["uri"] == f"tel:{both['dial']['number']}"
        assert set(both["channels"]) >= {first, second}
        code = stage.code(phone)
        refused(browser.call("POST", f"{path}/check", {"code": wrong(code)}), 422, "wrong_code", attempts_left=2)
        if calls:
            stage.dial(phone, both["dial"]["number"])
            answer = browser.call("GET", path)
        else:
            answer = browser.call("POST", f"{path}/check", {"code": code})
        conforms(answer, 200, "Verification")
        assert (answer.json()["status"], answer.json()["dial"]) == ("verified", None)
        refused(browser.call("POST", f"{path}/check", {"code": code}), 410, "closed", verification_status="verified")
        assert browser.call("POST", "v1/session", {"proof": answer.json()["proof"]}).status == 200


def a_call_from_another_phone_proves_nothing(stage: Stage) -> None:
    """A foreign or hidden caller on the right line leaves the claim open."""
    browser, phone = stage.browser(), stage.phone()
    begun = start(browser, phone, channel="inbound_call")
    stage.dial(stage.phone(), begun["dial"]["number"])
    assert browser.call("GET", f"v1/verifications/{begun['id']}").json()["status"] == "sent"


def another_binding_sees_nothing(stage: Stage) -> None:
    """Without the secret, or with a wrong one, every response is the same 404, and nothing is spent."""
    browser, stranger, phone = stage.browser(), stage.browser(), stage.phone()
    begun = start(browser, phone, channel="sms")
    path, code = f"v1/verifications/{begun['id']}", stage.code(phone)
    unknown = f"v1/verifications/{'A' * 44}"
    bodies = set()
    for secret in (None, "x" * 22, ""):
        for target in (path, unknown, "v1/verifications/short"):
            answer = stranger.call("GET", target, secret=secret)
            refused(answer, 404, "not_found")
            bodies.add(answer.body)
            for action, document in (("check", {"code": code}), ("resend", {})):
                answer = stranger.call("POST", f"{target}/{action}", document, secret=secret)
                refused(answer, 404, "not_found")
                bodies.add(answer.body)
            bodies.add(stranger.call("DELETE", target, secret=secret).body)
    assert len(bodies) == 1
    refused(browser.call("GET", path, secret="x" * 22), 404, "not_found")
    assert browser.call("GET", path).json()["attempts_left"] == 3
    assert stage.arrived(phone) == 1


def a_strangers_start_changes_nothing(stage: Stage) -> None:
    """Two browsers start for one phone: both stay open; one browser's second start ends its first."""
    browser, stranger, phone = stage.browser(), stage.browser(), stage.phone()
    first, foreign = start(browser, phone, channel="sms"), start(stranger, phone, channel="sms")
    second = start(browser, phone, channel="sms")
    assert browser.call("GET", f"v1/verifications/{first['id']}").json()["status"] == "cancelled"
    assert browser.call("GET", f"v1/verifications/{second['id']}").json()["status"] == "sent"
    assert stranger.call("GET", f"v1/verifications/{foreign['id']}").json()["status"] == "sent"


def attempts_run_out(stage: Stage) -> None:
    """The last wrong answer reports it and closes; after that the right one is too late."""
    browser, phone = stage.browser(), stage.phone()
    path = f"v1/verifications/{start(browser, phone, channel='sms')['id']}"
    code = stage.code(phone)
    for left in (2, 1, 0):
        answer = browser.call("POST", f"{path}/check", {"code": wrong(code)})
        refused(answer, 422, "wrong_code", attempts_left=left)
    late = browser.call("POST", f"{path}/check", {"code": code})
    refused(late, 410, "closed", verification_status="exhausted")
    assert browser.call("GET", path).json()["status"] == "exhausted"
    refused(browser.call("POST", f"{path}/resend"), 410, "closed", verification_status="exhausted")


def a_right_code_is_good_once(stage: Stage) -> None:
    """The same right code again is 410."""
    browser, phone = stage.browser(), stage.phone()
    path = f"v1/verifications/{start(browser, phone, channel='sms')['id']}"
    code = stage.code(phone)
    assert browser.call("POST", f"{path}/check", {"code": code}).status == 200
    again = browser.call("POST", f"{path}/check", {"code": code})
    refused(again, 410, "closed", verification_status="verified")


def codes_as_people_type_them(stage: Stage) -> None:
    """Digits of five scripts, spaces, dashes and marks are read; a malformed code costs nothing."""
    for zero in ("۰", "٠", "０", "०", "০"):
        browser, phone = stage.browser(), stage.phone()
        begun = start(browser, phone, channel="sms")
        path, code = f"v1/verifications/{begun['id']}", stage.code(phone)
        for malformed in (
            "",
            " ",
            code[:5],
            code + "0",
            "²" * 6,
            "①" * 6,
            "12a456",
            "+12345",
            "1" * 33,
            "𝟙" * 6,
            "\ud800",
        ):
            answer = browser.call("POST", f"{path}/check", {"code": malformed})
            refused(answer, 400, "invalid_request", fields=["code"])
        assert browser.call("GET", path).json()["attempts_left"] == 3
        typed = "".join(chr(ord(zero) + int(digit)) for digit in code)
        typed = f"\u200f{typed[:3]} -\u00a0{typed[3:]}\u200b"
        assert browser.call("POST", f"{path}/check", {"code": typed}).status == 200


def wrong_types_lose_nothing(stage: Stage) -> None:
    """Every wrong body is a clear 4xx that names the fields, and spends nothing."""
    browser, phone = stage.browser(), stage.phone()
    path = f"v1/verifications/{start(browser, phone, channel='sms')['id']}"
    for value in (None, True, 123456, 1.5, [], {}, ["123456"]):
        refused(browser.call("POST", f"{path}/check", {"code": value}), 400, "invalid_request", fields=["code"])
        refused(browser.call("POST", "v1/verifications", {"phone": value}), 400, "invalid_request", fields=["phone"])
        refused(browser.call("POST", "v1/session", {"proof": value}), 400, "invalid_request", fields=["proof"])
        refused(browser.call("POST", f"{path}/resend", {"channel": value}), 400, "invalid_request", fields=["channel"])
    refused(browser.call("POST", f"{path}/check", {}), 400, "invalid_request", fields=["code"])
    refused(browser.call("POST", f"{path}/check", {"code": "1", "x": "y"}), 400, "invalid_request", fields=["x"])
    for body in (
        b"",
        b"[]",
        b'"code"',
        b"{",
        b"\xff\xfe",
        b"NaN",
        b'{"code": "1", "code": "2"}',
        b"[" * 10000,
        b"null",
    ):
        refused(browser.call("POST", f"{path}/check", body=body), 400, "invalid_request")
    long = b'{"code": "' + b"1" * 17000 + b'"}'
    refused(browser.call("POST", f"{path}/check", body=long), 413, "too_large")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""):
        answer = browser.call("POST", f"{path}/check", body=b'{"code": "123456"}', headers={"Content-Type": kind})
        refused(answer, 415, "unsupported_media_type")
    for fields in (
        {"channel": "pigeon"},
        {"purpose": "Log in"},
        {"service": "other"},
        {"region": "XX"},
        {"purpose": ""},
    ):
        answer = browser.call("POST", "v1/verifications", {"phone": phone, **fields})
        refused(answer, 400, "invalid_request", fields=list(fields))
    assert browser.call("GET", path).json()["attempts_left"] == 3
    assert stage.arrived(phone) == 1


def numbers_that_are_refused(stage: Stage) -> None:
    """An invalid number is 400; a foreign number or a refused kind is 403; nothing is sent."""
    browser = stage.browser()
    for text in (
        "",
        "0912",
        "112",
        "+98912000000x5",
        "+98-912-FLOWERS",
        "tel:+989120000000",
        "+989120000000;ext=5",
        "²" * 11,
    ):
        refused(browser.call("POST", "v1/verifications", {"phone": text}), 400, "invalid_phone")
    for text in ("+12025550123", "+881612345678", "+982100000000"):
        answer = browser.call("POST", "v1/verifications", {"phone": text, "channel": "sms"})
        assert answer.status in (400, 403), answer.text
    refused(browser.call("POST", "v1/verifications", {"phone": "+12025550123"}), 403, "destination_not_allowed")
    refused(
        browser.call("POST", "v1/verifications", {"phone": "+982188776655", "channel": "sms"}),
        403,
        "destination_not_allowed",
    )
    refused(
        browser.call("POST", "v1/verifications", {"phone": stage.phone(), "channel": "voice"}),
        409,
        "channel_unavailable",
    )


def numbers_as_people_type_them(stage: Stage) -> None:
    """Persian digits, spaces and direction marks are the same number."""
    phone = stage.phone()
    typed = "\u202a+" + "".join(chr(0x06F0 + int(digit)) for digit in phone[1:3]) + f" {phone[3:6]}-{phone[6:]}\u202c"
    start(stage.browser(), typed, channel="sms", locale="fa-IR")
    assert stage.arrived(phone) == 1
    for locale in ("xx", "", "not a language", "\x00", "x" * 1000, "\ud800"):
        start(stage.browser(), stage.phone(), channel="sms", locale=locale)


def sends_are_limited(stage: Stage) -> None:
    """Five sends an hour for one phone, over browsers and channels, start or resend; the sixth returns the wait."""
    phone = stage.phone()
    for channel in ("sms", "flash_call", "inbound_call"):
        browser = stage.browser()
        begun = start(browser, phone, channel=channel)
    for _ in range(2):
        assert browser.call("POST", f"v1/verifications/{begun['id']}/resend", {"channel": "sms"}).status == 200
    sent = stage.arrived(phone)
    refused(browser.call("POST", f"v1/verifications/{begun['id']}/resend", {}), 429, "too_many_requests")
    answer = stage.browser().call("POST", "v1/verifications", {"phone": phone})
    assert 0 < refused(answer, 429, "too_many_requests")["retry_after"] <= 3600
    assert stage.arrived(phone) == sent


def a_resend_repeats_and_never_refills(stage: Stage) -> None:
    """The same code again on the same channel, a new one on another; attempts and expiry never increase."""
    browser, phone = stage.browser(), stage.phone()
    begun = start(browser, phone, channel="sms")
    path, code = f"v1/verifications/{begun['id']}", stage.code(phone)
    refused(browser.call("POST", f"{path}/check", {"code": wrong(code)}), 422, "wrong_code", attempts_left=2)
    answer = browser.call("POST", f"{path}/resend")
    conforms(answer, 200, "Verification")
    assert answer.json()["attempts_left"] == 2
    assert answer.json()["expires_in"] <= begun["expires_in"]
    assert stage.code(phone) == code
    answer = browser.call("POST", f"{path}/resend", {"channel": "flash_call"})
    assert answer.json()["channel"] == "flash_call"
    assert answer.json()["attempts_left"] == 2
    assert answer.json()["expires_in"] <= 180
    flash = stage.code(phone)
    assert browser.call("POST", f"{path}/check", {"code": flash}).status == 200


def a_repeated_request_sends_once(stage: Stage) -> None:
    """The same Idempotency-Key and body give the same response, also with the cookies of that response."""
    browser, phone, key = stage.browser(), stage.phone(), {"Idempotency-Key": f'"{uuid.uuid4()}"'}

    def begin(who: Browser, headers: dict[str, str] = key, phone: str = phone, **more: str) -> Answer:
        fields = {"phone": phone, "channel": "sms", **more}
        return who.call("POST", "v1/verifications", fields, headers=headers)

    first = begin(browser)
    conforms(first, 201, "StartedVerification")
    begun = first.json()
    for again in (
        begin(browser),
        begin(stage.browser()),
        begin(browser, {"Idempotency-Key": key["Idempotency-Key"][1:-1]}),
    ):
        conforms(again, 201, "StartedVerification")
        assert {**again.json(), "expires_in": 0} == {**begun, "expires_in": 0}
        assert any(begun["secret"] in cookie for cookie in again.cookies.values())
    assert stage.arrived(phone) == 1
    refused(begin(browser, purpose="signup"), 422, "idempotency_mismatch")
    refused(begin(browser, phone=stage.phone()), 422, "idempotency_mismatch")
    refused(begin(browser, {"Idempotency-Key": "two words"}), 400, "invalid_request")
    other = stage.browser()
    assert start(other, stage.phone(), channel="sms")["id"] != begun["id"]
    assert begin(other).json()["id"] != begun["id"], "another client, by its cookies"
    bearer = {**key, "Authorization": f"Bearer {uuid.uuid4()}"}
    assert begin(stage.browser(), bearer).json()["id"] == begin(stage.browser(), bearer).json()["id"] != begun["id"]
    assert stage.arrived(phone) == 3
    path, again = f"v1/verifications/{begun['id']}/resend", {"Idempotency-Key": str(uuid.uuid4())}
    resent = [browser.call("POST", path, {}, headers=again).json() for _ in range(2)]
    assert resent[0]["id"] == resent[1]["id"] == begun["id"]
    assert stage.arrived(phone) == 4
    refused(browser.call("POST", path, {"channel": "sms"}, headers=again), 422, "idempotency_mismatch")
    refused(stage.browser().call("POST", path, {}, headers=again), 404, "not_found")
    refused(
        begin(stage.browser(), {"Idempotency-Key": "refused"}, phone="+1 900 555 0100"), 403, "destination_not_allowed"
    )
    answer = browser.call("POST", f"v1/verifications/{begun['id']}/check", {"code": stage.code(phone)})
    proof = answer.json()["proof"]
    assert browser.call("POST", "v1/session", {"proof": proof}).status == 200


def cancelling_ends_it(stage: Stage) -> None:
    """DELETE is 204, also repeated; a check after it is 410."""
    browser, phone = stage.browser(), stage.phone()
    path = f"v1/verifications/{start(browser, phone, channel='sms')['id']}"
    assert [browser.call("DELETE", path).status for _ in range(2)] == [204, 204]
    late = browser.call("POST", f"{path}/check", {"code": stage.code(phone)})
    refused(late, 410, "closed", verification_status="cancelled")
    assert browser.call("GET", path).json()["channels"] == []


def a_proof_is_for_its_purpose(stage: Stage) -> None:
    """A proof for another purpose does not sign in; nor does a malformed one."""
    browser = stage.browser()
    for purpose in ("change_phone", "confirm"):
        refused(
            browser.call("POST", "v1/verifications", {"phone": stage.phone(), "purpose": purpose}), 401, "not_signed_in"
        )
    for purpose in ("second_factor", "own", "Login"):
        answer = browser.call("POST", "v1/verifications", {"phone": stage.phone(), "purpose": purpose})
        refused(answer, 400, "invalid_request", fields=["purpose"])
    signed_in(stage, browser)
    for purpose in ("change_phone", "confirm"):
        proof = proven(stage, browser, stage.phone(), purpose)
        refused(browser.call("POST", "v1/session", {"proof": proof}), 400, "invalid_proof")
    for proof in ("", "x", "a.b.c", "é" * 50, "x" * 5000, "\ud800"):
        refused(browser.call("POST", "v1/session", {"proof": proof}), 400, "invalid_proof")
    begun = start(browser, stage.phone(), channel="sms")
    other = start(browser, stage.phone(), channel="sms")
    answer = browser.call("POST", f"v1/verifications/{begun['id']}/check", {"code": "1"}, secret=other["secret"])
    refused(answer, 404, "not_found")  # a wrong header is not rescued by the cookie


def signed_in(stage: Stage, browser: Browser) -> str:
    """Sign in with a new number; return the number."""
    phone = stage.phone()
    proof = proven(stage, browser, phone, "login")
    assert browser.call("POST", "v1/session", {"proof": proof}).status == 200
    return phone


def proven(stage: Stage, browser: Browser, phone: str, purpose: str) -> str:
    """A proof of this phone for this purpose."""
    id = start(browser, phone, channel="sms", purpose=purpose)["id"]
    answer = browser.call("POST", f"v1/verifications/{id}/check", {"code": stage.code(phone)})
    conforms(answer, 200, "Verification")
    return str(answer.json()["proof"])


def a_user_changes_the_number(stage: Stage) -> None:
    """With a proof of the new one; the old one is then free, and the proof is used up."""
    browser = stage.browser()
    old, new = signed_in(stage, browser), stage.phone()
    proof = proven(stage, browser, new, "change_phone")
    answer = browser.call("PUT", "v1/session/phone", {"proof": proof})
    conforms(answer, 200, "Session")
    user = answer.json()["user"]
    assert user["phone"] == new
    assert browser.call("GET", "v1/session").json()["user"] == user
    refused(browser.call("PUT", "v1/session/phone", {"proof": proof}), 400, "invalid_proof")
    # The new number signs in the same user, the old one another user.
    for phone, same in ((new, True), (old, False)):
        visitor = stage.browser()
        answer = visitor.call("POST", "v1/session", {"proof": proven(stage, visitor, phone, "login")})
        assert (answer.json()["user"]["id"] == user["id"]) is same


def a_user_confirms_the_number(stage: Stage) -> None:
    """The number that the user already has."""
    browser = stage.browser()
    phone = signed_in(stage, browser)
    answer = browser.call("PUT", "v1/session/phone", {"proof": proven(stage, browser, phone, "confirm")})
    conforms(answer, 200, "Session")
    assert answer.json()["user"]["phone"] == phone


def a_number_of_somebody_else_is_taken(stage: Stage) -> None:
    """Both stay unchanged."""
    owner, browser = stage.browser(), stage.browser()
    owned, own = signed_in(stage, owner), signed_in(stage, browser)
    for purpose in ("change_phone", "confirm"):
        proof = proven(stage, browser, owned, purpose)
        refused(browser.call("PUT", "v1/session/phone", {"proof": proof}), 409, "phone_taken")
    assert browser.call("GET", "v1/session").json()["user"]["phone"] == own
    assert owner.call("GET", "v1/session").json()["user"]["phone"] == owned


def a_number_is_not_changed_by_any_proof(stage: Stage) -> None:
    """Not with a login's proof, not without being signed in, not with another binding, not cross-site."""
    browser, stranger, other = stage.browser(), stage.browser(), stage.browser()
    phone = signed_in(stage, browser)
    signed_in(stage, other)
    proof = proven(stage, other, stage.phone(), "change_phone")
    refused(stranger.call("PUT", "v1/session/phone", {"proof": proof}), 401, "not_signed_in")
    refused(browser.call("PUT", "v1/session/phone", {"proof": proof}), 400, "invalid_proof")
    login = proven(stage, browser, stage.phone(), "login")
    refused(browser.call("PUT", "v1/session/phone", {"proof": login}), 400, "invalid_proof")
    change = proven(stage, browser, stage.phone(), "change_phone")
    refused(browser.call("POST", "v1/session", {"proof": change}), 400, "invalid_proof")
    headers = {"Sec-Fetch-Site": "cross-site"}
    refused(browser.call("PUT", "v1/session/phone", {"proof": change}, headers=headers), 403, "cross_site")
    refused(browser.call("PUT", "v1/session/phone", {"proof": 7}), 400, "invalid_request", fields=["proof"])
    refused(browser.call("POST", "v1/session/phone", {"proof": change}), 405, "method_not_allowed")
    assert browser.call("GET", "v1/session").json()["user"]["phone"] == phone
    # None of this has used it up.
    assert browser.call("PUT", "v1/session/phone", {"proof": change}).status == 200


def purposes_are_on_a_list(stage: Stage) -> None:
    """Other purposes are 400; those of a signed-in user are 401 for other clients; nothing is sent."""
    browser, phone = stage.browser(), stage.phone()
    for purpose in ("second_factor", "aaa", "login2", "flask_security", "", "Login", "x" * 40):
        answer = browser.call("POST", "v1/verifications", {"phone": phone, "purpose": purpose})
        refused(answer, 400, "invalid_request", fields=["purpose"])
    away = {"Sec-Fetch-Site": "cross-site"}
    for purpose in ("confirm", "change_phone"):
        fields = {"phone": phone, "purpose": purpose}
        refused(browser.call("POST", "v1/verifications", fields), 401, "not_signed_in")
        refused(browser.call("POST", "v1/verifications", {**fields, "phone": "1"}), 401, "not_signed_in")
        refused(browser.call("POST", "v1/verifications", fields, headers=away), 403, "cross_site")
    assert stage.arrived(phone) == 0


def a_proof_is_its_users(stage: Stage) -> None:
    """A number that one user has verified is not assigned to the next user of the browser."""
    browser, other = stage.browser(), stage.phone()
    signed_in(stage, browser)
    begun = start(browser, other, channel="sms", purpose="confirm")
    path, secret = f"v1/verifications/{begun['id']}", begun["secret"]
    proof = browser.call("POST", f"{path}/check", {"code": stage.code(other)}).json()["proof"]
    assert browser.call("DELETE", "v1/session").status == 204
    phone = signed_in(stage, browser)
    for shown in (secret, None):
        answer = browser.call("PUT", "v1/session/phone", {"proof": proof}, secret=shown)
        refused(answer, 400, "invalid_proof")
    assert browser.call("GET", "v1/session").json()["user"]["phone"] == phone
    page = browser.get("/phone/code/")
    assert page.status == 302, page.text


def signing_in_and_out_leaves_no_verification(stage: Stage) -> None:
    """The cookie holds no earlier verification except the one that signed in."""
    browser = stage.browser()
    before = start(browser, stage.phone(), channel="sms")
    phone = stage.phone()
    used = start(browser, phone, channel="sms")
    code = {"code": stage.code(phone)}
    proof = browser.call("POST", f"v1/verifications/{used['id']}/check", code).json()["proof"]
    assert browser.call("POST", "v1/session", {"proof": proof}).status == 200
    refused(browser.call("GET", f"v1/verifications/{before['id']}"), 404, "not_found")
    assert browser.call("GET", f"v1/verifications/{used['id']}").status == 200
    assert browser.call("DELETE", "v1/session").status == 204
    refused(browser.call("GET", f"v1/verifications/{used['id']}"), 404, "not_found")
    assert browser.call("GET", f"v1/verifications/{before['id']}", secret=before["secret"]).status == 200


def pages_finish_what_their_session_started(stage: Stage) -> None:
    """The cookie alone finishes nothing on a page, and does not count as an open verification there."""
    browser, phone = stage.browser(), stage.phone()
    planted = start(browser, phone, channel="sms")
    code = stage.code(phone)
    assert browser.get("/phone/code/").location.startswith("/phone/login/")
    token = hidden_token(browser.get("/phone/login/").text)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Referer": "http://localhost/phone/code/"}
    body = urlencode({**token, "code": code}).encode()
    answer = browser._carrier.send("POST", "/phone/code/", body, headers)
    assert answer.location.startswith("/phone/login/")
    assert phone not in browser.get("/").text
    # A start on the page sends a separate code, and ends the one that this browser's cookie names.
    assert browser.post_form("/phone/login/", phone=phone, channel="sms").location.startswith("/phone/code/")
    assert stage.arrived(phone) == 2
    planted_path = f"v1/verifications/{planted['id']}"
    assert browser.call("GET", planted_path, secret=planted["secret"]).json()["status"] == "cancelled"
    assert browser.post_form("/phone/code/", code=stage.code(phone)).location == "/"
    assert phone in browser.get("/").text


def other_sessions_end_with_the_number(stage: Stage) -> None:
    """A changed number ends every other session of its user, remembered ones too; the current one stays."""
    browser, other, remembered, new = stage.browser(), stage.browser(), stage.browser(), stage.phone()
    phone = signed_in(stage, browser)
    proof = proven(stage, other, phone, "login")
    assert other.call("POST", "v1/session", {"proof": proof}).status == 200
    remembered.post_form("/phone/login/", phone=phone, channel="sms")
    remembered.post_form("/phone/code/", code=stage.code(phone), asks_remember="1", remember="1")
    for known in (other, remembered):
        assert known.call("GET", "v1/session").json()["user"]["phone"] == phone
    change = proven(stage, browser, new, "change_phone")
    assert browser.call("PUT", "v1/session/phone", {"proof": change}).status == 200
    for ended in (other, remembered):
        assert new not in ended.get("/").text
        refused(ended.call("GET", "v1/session"), 401, "not_signed_in")
        assert new not in ended.get("/").text
    assert browser.call("GET", "v1/session").json()["user"]["phone"] == new
    assert new in browser.get("/").text


def a_user_ends_other_sessions(stage: Stage) -> None:
    """By a button on `verify/`."""
    browser, other = stage.browser(), stage.browser()
    phone = signed_in(stage, browser)
    assert other.call("POST", "v1/session", {"proof": proven(stage, other, phone, "login")}).status == 200
    page = browser.follow(browser.post_form("/phone/verify/", sign_out_others="1"))
    assert page.status == 200
    refused(other.call("GET", "v1/session"), 401, "not_signed_in")
    assert phone not in other.get("/").text
    assert browser.call("GET", "v1/session").json()["user"]["phone"] == phone
    again = proven(stage, other, phone, "login")
    assert other.call("POST", "v1/session", {"proof": again}).status == 200
    assert phone in other.get("/").text


def other_sites_are_refused(stage: Stage) -> None:
    """A request that the browser marks as cross-site changes nothing; clients with the secret header may."""
    browser, phone = stage.browser(), stage.phone()
    begun = start(browser, phone, channel="sms")
    path = f"v1/verifications/{begun['id']}"
    code = stage.code(phone)
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://spa.example.evil.example"},
    ):
        refused(browser.call("POST", "v1/verifications", {"phone": phone}, headers=headers), 403, "cross_site")
        refused(browser.call("POST", f"{path}/check", {"code": code}, headers=headers), 403, "cross_site")
        refused(browser.call("POST", f"{path}/resend", {}, headers=headers), 403, "cross_site")
        refused(browser.call("POST", "v1/session", {"proof": "x"}, headers=headers), 403, "cross_site")
        refused(browser.call("DELETE", "v1/session", headers=headers), 403, "cross_site")
        refused(browser.call("DELETE", path, headers=headers), 403, "cross_site")
    assert browser.call("GET", path, headers={"Sec-Fetch-Site": "cross-site"}).status == 200
    shown = browser.call(
        "POST", f"{path}/check", {"code": code}, secret=begun["secret"], headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert shown.status == 200
    subdomain, away = {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}
    refused(browser.call("DELETE", path, secret=begun["secret"], headers=subdomain), 403, "cross_site")
    refused(browser.call("DELETE", path, secret=begun["secret"], headers=away), 403, "cross_site")
    assert browser.call("GET", path, headers=away).status == 200  # the browser keeps it from the page
    assert stage.arrived(phone) == 1


def a_trusted_origin_verifies_and_signs_in(stage: Stage) -> None:
    """Its requests are accepted as the browser sends them, and every answer may be read by it."""
    for origin in ("https://spa.example", "capacitor://localhost"):
        _by_a_page_of(origin, stage)


def _by_a_page_of(origin: str, stage: Stage) -> None:
    client, phone = stage.browser(), stage.phone()
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}

    def call(method: str, path: str, document: object = None, **more: Any) -> Answer:
        answer = client.call(method, path, document, **{**more, "headers": {**headers, **more.get("headers", {})}})
        readable_by(origin, answer)
        return answer

    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    preflight = call("OPTIONS", "v1/verifications", headers=asked)
    assert (preflight.status, preflight.body) == (204, b"")
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "verification-secret" in preflight.headers["access-control-allow-headers"]
    begun = call("POST", "v1/verifications", {"phone": phone, "channel": "sms"}).json()
    path, secret, code = f"v1/verifications/{begun['id']}", begun["secret"], stage.code(phone)
    client = stage.browser()  # a browser keeps no Lax cookie of another site's answer
    refused(call("POST", f"{path}/check", {"code": code}), 404, "not_found")
    refused(call("POST", f"{path}/check", {"code": wrong(code)}, secret=secret), 422, "wrong_code")
    proof = {"proof": call("POST", f"{path}/check", {"code": code}, secret=secret).json()["proof"]}
    refused(call("POST", "v1/session", proof), 400, "invalid_proof")
    assert call("POST", "v1/session", proof, secret=secret).status == 200
    assert call("GET", "v1/session").json()["user"]["phone"] == phone
    refused(call("PUT", "v1/session/phone", proof, secret=secret), 400, "invalid_proof")
    assert call("DELETE", "v1/session").status == 204


def readable_by(origin: str | None, answer: Answer) -> None:
    """Assert that pages of this origin may read the answer; None: no page of another origin."""
    assert "Origin" in answer.headers["vary"].replace(" ", "").split(",")
    assert answer.headers.get("access-control-allow-origin") == origin
    assert answer.headers.get("access-control-allow-credentials") == (None if origin is None else "true")
    assert answer.headers.get("access-control-expose-headers") == (None if origin is None else "Retry-After")
    if origin is None:
        assert not any(name.startswith("access-control") for name in answer.headers)


def every_api_answer_has_its_cors_headers(stage: Stage) -> None:
    """Also refusals, also of a preflight, whether or not the verification exists; nothing else of the site has them."""
    browser = stage.browser()
    begun = start(browser, stage.phone(), channel="sms")
    known, unknown = f"v1/verifications/{begun['id']}", f"v1/verifications/{'A' * 44}"
    long, text = b'{"phone": "' + b"1" * 17_000 + b'"}', {"Content-Type": "text/plain"}
    calls: list[tuple[int, str, str, dict[str, Any]]] = [
        (200, "GET", "v1/health", {}),
        (200, "HEAD", "v1/health", {}),
        (200, "GET", "v1/openapi.json", {}),
        (200, "GET", known, {}),
        (404, "GET", unknown, {}),
        (404, "GET", "v1/nothing", {}),
        (404, "GET", "v1/", {}),
        (405, "PATCH", "v1/session", {}),
        (413, "POST", "v1/verifications", {"body": long}),
        (415, "POST", "v1/verifications", {"body": b"{}", "headers": text}),
        (400, "POST", "v1/verifications", {"document": {"phone": "x"}}),
        (401, "GET", "v1/session", {}),
        *((204, "OPTIONS", path, {}) for path in (known, unknown, f"{unknown}/check", "v1/session/phone", "v1/health")),
        (404, "OPTIONS", "v1/nothing", {}),
    ]
    seen: dict[str, set[tuple[str, str]]] = {}
    for origin in ("https://spa.example", "https://evil.example", "null", None):
        for status, method, path, more in calls:
            headers = {**more.get("headers", {}), **({"Origin": origin} if origin else {})}
            answer = browser.call(method, path, **{**more, "headers": headers})
            if status == 400 and origin in ("https://evil.example", "null"):
                status = 403  # a changing call
            assert answer.status == status, (origin, method, path)
            readable_by(origin if origin == "https://spa.example" else None, answer)
            if method == "OPTIONS" and status == 204 and path in (known, unknown):
                assert not answer.cookies
                moving = ("date", "server", "connection")
                seen[f"{origin} {path}"] = {(k, v) for k, v in answer.headers.items() if k not in moving}
        assert seen[f"{origin} {known}"] == seen[f"{origin} {unknown}"]
    trusted = {"Origin": "https://spa.example"}
    pages = ("/", "/phone/login/", "/phone/code/", "/phone/v1x", "/phone/webhooks/amoot/wrong-secret")
    for method, page in [(method, page) for method in ("GET", "OPTIONS") for page in pages]:
        answer = browser._carrier.send(method, page, b"", trusted)
        assert not any(name.startswith("access-control") for name in answer.headers), page
        assert "Origin" not in answer.headers.get("vary", ""), page


def unknown_calls_are_problems(stage: Stage) -> None:
    """404 and 405 are problem bodies too; 405 names what is allowed."""
    browser = stage.browser()
    for path in ("v1/", "v1/verifications/", "v1/nothing", "v1/verifications/a/b/c", "webhooks/amoot/wrong-secret"):
        refused(browser.call("GET", path), 404, "not_found")
    for method, path in (("PUT", "v1/verifications"), ("GET", "v1/verifications"), ("PATCH", "v1/session")):
        answer = browser.call(method, path)
        refused(answer, 405, "method_not_allowed")
        assert "POST" in answer.headers["allow"]
    answer = browser.call("GET", "v1/openapi.json")
    assert answer.status == 200
    assert answer.json()["openapi"].startswith("3.1")


def health_is_one_word(stage: Stage) -> None:
    """200 without a cookie or anything about the site, also for HEAD."""
    browser = stage.browser()
    for path in ("v1/health", "v1/ready"):
        answer = browser.call("GET", path)
        assert (answer.status, answer.json()) == (200, {"status": "ok"})
        assert not answer.cookies
        assert browser.call("HEAD", path).status == 200
        refused(browser.call("POST", path), 405, "method_not_allowed")


def cookies_are_kept_close(stage: Stage) -> None:
    """Our cookie is HttpOnly and Lax, for the whole host, and holds the last five."""
    browser = stage.browser()
    answers = [browser.call("POST", "v1/verifications", {"phone": stage.phone(), "channel": "sms"}) for _ in range(6)]
    line = answers[-1].cookies["phone_verify"]
    flags = {part.strip().lower() for part in line.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/"} <= flags
    assert line.split(";")[0].count("~") == 4
    assert browser.call("GET", f"v1/verifications/{answers[0].json()['id']}").status == 404
    assert browser.call("GET", f"v1/verifications/{answers[1].json()['id']}").status == 200


def a_known_browser_has_a_budget_of_its_own(stage: Stage) -> None:
    """A trusted device can sign in after other clients have exhausted the phone's sends; their limits are equal."""
    browser, phone = stage.browser(), stage.phone()
    begun = start(browser, phone, channel="sms")
    checked = browser.call("POST", f"v1/verifications/{begun['id']}/check", {"code": stage.code(phone)})
    assert "phone_verify_device" not in checked.cookies, "only signing in makes a browser known"
    entered = browser.call("POST", "v1/session", {"proof": checked.json()["proof"]})
    line = entered.cookies["phone_verify_device"]
    flags = {part.strip().lower() for part in line.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/", "max-age=15552000"} <= flags
    assert phone[1:] not in line
    for _ in range(4):
        start(stage.browser(), phone, channel="sms")
    stranger = stage.browser()
    refused(stranger.call("POST", "v1/verifications", {"phone": phone}), 429, "too_many_requests")
    for _ in range(5):
        again = start(browser, phone, channel="sms")
    refused(browser.call("POST", "v1/verifications", {"phone": phone}), 429, "too_many_requests")
    other = stage.phone()
    for _ in range(5):
        start(stage.browser(), other, channel="sms")
    refused(browser.call("POST", "v1/verifications", {"phone": other}), 429, "too_many_requests")
    browser.call("DELETE", "v1/session")
    path, secret = f"v1/verifications/{again['id']}", again["secret"]  # the cookie's pairs went with the session
    checked = browser.call("POST", f"{path}/check", {"code": stage.code(phone)}, secret=secret)
    answer = browser.call("POST", "v1/session", {"proof": checked.json()["proof"]}, secret=secret)
    assert answer.json()["created"] is False


def device_that_keeps_the_number(stage: Stage, phone: str, remember: str = "1") -> Browser:
    """A browser that has signed in with this number and out again; the visitor chose to stay signed in there."""
    browser = stage.browser()
    path = browser.post_form("/phone/login/", phone=phone, channel="sms").location
    box = {"remember": remember} if remember else {}
    answer = browser.post_form(path, code=stage.code(phone), asks_remember="1", **box)
    assert phone[1:] not in answer.cookies["phone_verify_device"]
    assert browser.post_form("/phone/logout/").status == 303
    return browser


def offers(browser: Browser, phone: str) -> bool:
    """Return whether the login page offers to continue with this number."""
    page = browser.get("/phone/login/").text
    assert phone[5:-2] not in page
    return f"+98 ••• {phone[-2:]}" in page


def a_device_continues_with_its_last_number(stage: Stage) -> None:
    """One press sends to the number of the last sign-in, which stays masked; another number can be entered."""
    phone, other = stage.phone(), stage.phone()
    browser = device_that_keeps_the_number(stage, phone)
    assert offers(browser, phone)
    sent = stage.arrived(phone)
    answer = browser.post_form("/phone/login/?next=/%3Fhello", **{"continue": "1", "phone": other, "next": "/?hello"})
    assert answer.location.startswith("/phone/code/")
    assert (stage.arrived(phone), stage.arrived(other)) == (sent + 1, 0)
    page = browser.follow(answer).text
    assert f"••{phone[-2:]}" in page
    assert phone[5:-2] not in page.replace(" ", "")
    assert offers(browser, phone), "and the field below it is empty"
    answer = browser.post_form("/phone/code/", code=stage.code(phone), next="/?hello")
    assert answer.location == "/?hello"
    assert phone in browser.get("/").text
    browser.post_form("/phone/logout/")
    assert browser.post_form("/phone/login/", phone=other, channel="sms").location.startswith("/phone/code/")
    assert stage.arrived(other) == 1


def a_device_forgets_its_last_number(stage: Stage) -> None:
    """At the visitor's request, and if the next sign-in there ends with the browser."""
    phone = stage.phone()
    browser = device_that_keeps_the_number(stage, phone)
    page = browser.follow(browser.post_form("/phone/login/", forget="1"))
    assert "forgotten" in page.text
    assert not offers(browser, phone)
    assert browser.post_form("/phone/login/", **{"continue": "1"}).location == "/phone/login/"
    assert not offers(device_that_keeps_the_number(stage, stage.phone(), remember=""), phone)
    assert not offers(stage.browser(), phone)


def a_number_changed_elsewhere_is_not_offered(stage: Stage) -> None:
    """Not the old one, whose phone may have a new owner, and not the new one, which never signed in there."""
    phone, new = stage.phone(), stage.phone()
    browser, elsewhere = device_that_keeps_the_number(stage, phone), stage.browser()
    entered = elsewhere.call("POST", "v1/session", {"proof": proven(stage, elsewhere, phone, "login")})
    assert entered.status == 200
    change = proven(stage, elsewhere, new, "change_phone")
    assert elsewhere.call("PUT", "v1/session/phone", {"proof": change}).status == 200
    sent = stage.arrived(phone), stage.arrived(new)
    assert not offers(browser, phone)
    assert not offers(browser, new)
    answer = browser.post_form("/phone/login/", **{"continue": "1"})
    assert answer.location == "/phone/login/"
    assert "Enter your number to continue." in browser.follow(answer).text
    assert (stage.arrived(phone), stage.arrived(new)) == sent


def strangers_wrong_answers_close_no_known_browser_out(stage: Stage) -> None:
    """Twelve wrong answers of other clients lock short codes for them, not for a trusted device."""
    browser, phone = stage.browser(), stage.phone()
    code_path = browser.post_form("/phone/login/", phone=phone, channel="sms").location
    answer = browser.post_form(code_path, code=stage.code(phone))
    assert "phone_verify_device" in answer.cookies
    assert browser.post_form("/phone/logout/").status == 303
    for _ in range(4):
        stranger = stage.browser()
        path = f"v1/verifications/{start(stranger, phone, channel='sms')['id']}"
        code = stage.code(phone)
        for left in (2, 1, 0):
            refused(
                stranger.call("POST", f"{path}/check", {"code": wrong(code)}), 422, "wrong_code", attempts_left=left
            )
    refused(
        stage.browser().call("POST", "v1/verifications", {"phone": phone, "channel": "flash_call"}),
        429,
        "too_many_requests",
    )
    known = start(browser, phone, channel="flash_call")
    path = f"v1/verifications/{known['id']}"
    assert "flash_call" in browser.call("GET", path).json()["channels"]
    checked = browser.call("POST", f"{path}/check", {"code": stage.code(phone)})
    assert checked.status == 200, "the strangers' wrong answers closed short codes for them alone"


def pages_sign_in_by_code(stage: Stage) -> None:
    """The pages, without JavaScript: number, wrong code, right code, `next`, the home page, sign-out."""
    browser, phone = stage.browser(), stage.phone()
    assert phone not in browser.get("/").text
    answer = browser.post_form("/phone/login/?next=/%3Fhello", phone=phone, channel="sms", next="/?hello")
    assert answer.status == 303, answer.text
    assert answer.location.startswith("/phone/code/")
    assert answer.headers["cache-control"].find("no-store") >= 0
    code_path, code = answer.location, stage.code(phone)
    page = browser.get(code_path)
    assert page.status == 200
    assert phone not in page.text
    assert "Incorrect code" in browser.follow(browser.post_form(code_path, code=wrong(code), next="/?hello")).text
    answer = browser.post_form(code_path, code=code, next="/?hello")
    assert answer.status == 303, answer.text
    assert answer.location == "/?hello"
    assert phone in browser.get("/").text
    assert browser.post_form("/phone/logout/").status == 303
    assert phone not in browser.get("/").text


def pages_sign_in_by_call(stage: Stage) -> None:
    """The page shows the number to call, and continues once the call has arrived."""
    browser, phone = stage.browser(), stage.phone()
    assert browser.post_form("/phone/login/", phone=phone, channel="inbound_call").status == 303
    page = browser.get("/phone/code/")
    number = page.text.partition('href="tel:')[2].partition('"')[0]
    assert number.startswith("+")
    stage.dial(phone, number)
    assert _after_the_call(browser).location == "/"
    assert phone in browser.get("/").text


def _after_the_call(browser: Browser) -> Answer:
    """Say that the call was made, until it has arrived: the provider is polled every three seconds at most."""
    for _ in range(8):
        answer = browser.post_form("/phone/code/", called="1")
        assert answer.status == 303, answer.text
        if answer.location == "/":
            break
        time.sleep(1)
    return answer


def pages_show_the_code_and_the_call(stage: Stage) -> None:
    """After a switch one page has the code field and the number to call, and either signs in."""
    for first, second, calls in (("sms", "inbound_call", False), ("inbound_call", "sms", True)):
        browser, phone = stage.browser(), stage.phone()
        assert browser.post_form("/phone/login/", phone=phone, channel=first).status == 303
        assert browser.post_form("/phone/code/", resend="1", channel=second).status == 303
        page = browser.get("/phone/code/")
        number = page.text.partition('href="tel:')[2].partition('"')[0]
        assert number.startswith("+")
        assert page.text.count('name="code"') == 1
        assert page.text.count("data-pv-poll=") == 1
        code = stage.code(phone)
        if calls:
            stage.dial(phone, number)
            answer = _after_the_call(browser)
        else:
            answer = browser.post_form("/phone/code/", code=code)
        assert answer.location == "/"
        assert phone in browser.get("/").text


def a_page_shows_the_live_one_again(stage: Stage) -> None:
    """Submitting the same number twice sends once."""
    browser, phone = stage.browser(), stage.phone()
    for _ in range(2):
        answer = browser.post_form("/phone/login/", phone=phone, channel="sms")
        assert answer.location.startswith("/phone/code/")
    assert stage.arrived(phone) == 1


def forged_forms_are_refused(stage: Stage) -> None:
    """A form without the framework's token changes nothing."""
    browser, phone = stage.browser(), stage.phone()
    body = f"phone=%2B{phone[1:]}&channel=sms".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for more in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}):
        answer = browser._carrier.send("POST", "/phone/login/", body, {**headers, **more})
        assert answer.status == 403
        assert "This page was open too long" in answer.text
        assert "pv-card" in answer.text
        assert phone[1:] not in answer.text
    page = browser.get("/phone/login/")
    stranger = stage.browser()
    for site in ("cross-site", "same-site"):
        answer = stranger.press(page, "/phone/login/", {"phone": phone, "channel": "sms"}, site)
        assert answer.status == 403
        assert not answer.cookies.keys() & {"sessionid", "session", "phone_verify"}, "the visitor's is kept"
    answer = stage.browser()._carrier.send("GET", "/phone/code/", b"", {"Sec-Fetch-Site": "cross-site"})
    assert answer.location == "/phone/login/"
    assert not answer.cookies, "a link begins no session"
    assert stage.arrived(phone) == 0


def a_reload_sends_no_form_again(stage: Stage) -> None:
    """Every form is answered by a redirect; the page after it shows the message once, and costs nothing."""
    browser, phone = stage.browser(), stage.phone()
    page = browser.follow(browser.press(browser.get("/phone/login/"), "/phone/login/", {"phone": "+12 <b>"}))
    assert "valid mobile number" in page.text
    assert 'value="+12 &lt;b&gt;"' in page.text
    assert 'aria-invalid="true"' in page.text
    assert "valid mobile number" not in browser.get("/phone/login/").text
    page = browser.follow(browser.press(page, "/phone/login/", {"phone": phone, "channel": "voice"}))
    assert "available for this number right now" in page.text
    assert 'aria-invalid="true"' not in page.text, "nothing is wrong with the number"
    assert f'value="{phone}"' in page.text
    page = browser.follow(browser.press(page, "/phone/login/", {"phone": phone, "channel": "sms"}))
    code, path = stage.code(phone), f"v1/verifications/{hidden_fields(page.text)['verification']}"
    answer = browser.press(page, "/phone/code/", {"code": wrong(code)})
    page = browser.follow(answer)
    assert "2 attempts left" in page.text
    for _ in range(2):
        page = browser.get(answer.target)
        assert "attempts left" not in page.text
    assert browser.call("GET", path).json()["attempts_left"] == 2
    for fields, said in (({"code": "1"}, "Enter the full"), ({"resend": "1"}, "Code resent.")):
        page = browser.follow(browser.press(page, "/phone/code/", fields))
        assert said in page.text
    assert wrong(code) not in page.text
    assert browser.press(page, "/phone/code/", {"code": code}).location == "/"


def two_tabs_answer_their_own_questions(stage: Stage) -> None:
    """A form means its own verification, and a message is shown in the tab of its form."""
    browser, phones = stage.browser(), [stage.phone(), stage.phone()]
    tabs = [
        browser.follow(browser.press(browser.get("/phone/login/"), "/phone/login/", {"phone": phone, "channel": "sms"}))
        for phone in phones
    ]
    paths = [f"v1/verifications/{hidden_fields(tab.text)['verification']}" for tab in tabs]
    answer = browser.press(tabs[0], "/phone/code/", {"code": wrong(stage.code(phones[0]))})
    assert "attempts left" not in browser.get("/phone/code/").text, "that is the page of the other tab"
    assert [browser.call("GET", path).json()["attempts_left"] for path in paths] == [2, 3]
    page = browser.follow(answer)
    assert "2 attempts left" in page.text
    assert browser.press(page, "/phone/code/", {"code": stage.code(phones[0])}).location == "/"
    assert phones[0] in browser.get("/").text
    # The other tab: its visitor is signed in by now.
    assert browser.press(tabs[1], "/phone/code/", {"code": stage.code(phones[1]), "next": "/?on"}).location == "/?on"
    stranger = stage.browser()
    stranger.press(stranger.get("/phone/login/"), "/phone/login/", {"phone": stage.phone(), "channel": "sms"})
    fields = {"code": stage.code(phones[1]), "verification": hidden_fields(tabs[1].text)["verification"]}
    page = stranger.follow(stranger.press(stranger.get("/phone/code/"), "/phone/code/", fields))
    assert "This page was open too long" in page.text
    assert "nobody" in stranger.get("/").text or phones[1] not in stranger.get("/").text


def an_old_page_is_shown_again(stage: Stage) -> None:
    """A form whose token is not valid any more does nothing, and keeps the number."""
    browser, phone = stage.browser(), stage.phone()
    old = browser.get("/phone/login/?next=/?on")
    fields = {"phone": phone, "channel": "flash_call", "next": "/?on"}
    page = stage.browser()
    answer = page.press(old, "/phone/login/", fields)
    assert answer.location == "/phone/login/?next=%2F%3Fon", "its cookies are gone"
    shown = page.follow(answer)
    assert "This page was open too long. Please try again." in shown.text
    assert f'value="{phone}"' in shown.text
    assert 'value="flash_call" checked' in shown.text
    assert stage.arrived(phone) == 0
    assert page.press(shown, "/phone/login/", fields).location.startswith("/phone/code/")
    tab = browser.follow(browser.press(old, "/phone/login/", {**fields, "channel": "sms"}))
    assert browser.press(tab, "/phone/code/", {"code": stage.code(phone)}).location == "/"
    assert browser.press(old, "/phone/login/", fields).location == "/?on", "signed in in another tab"
    assert browser.follow(browser.press(tab, "/phone/code/", {"code": "123456", "next": "/?on"})).location == "/?on"
    assert browser.get("/phone/code/?next=/?on").location == "/?on"
    shown = browser.follow(browser.press(old, "/phone/logout/", {"csrfmiddlewaretoken": "x", "csrf_token": "x"}))
    assert "This page was open too long" in shown.text
    assert phone in browser.get("/").text, "nobody was signed out"
    assert browser.press(shown, "/phone/logout/", {}).status == 303
    answer = browser.get("/phone/code/?next=/?on")
    assert answer.location == "/phone/login/?next=%2F%3Fon"
    assert "no code to enter" in browser.get(answer.target).text.replace("&#x27;", "'").replace("&#39;", "'")


def an_ended_verification_starts_anew(stage: Stage) -> None:
    """The page offers a new code for the same number, on the same channel and the others."""
    browser, phone = stage.browser(), stage.phone()
    page = browser.follow(
        browser.press(browser.get("/phone/login/"), "/phone/login/", {"phone": phone, "channel": "flash_call"})
    )
    old = hidden_fields(page.text)["verification"]
    for _ in range(3):
        page = browser.follow(browser.press(page, "/phone/code/", {"code": wrong(stage.code(phone))}))
    assert "Too many incorrect codes" in page.text
    assert "Call me again" in page.text
    assert 'name="channel" value="sms"' in page.text
    refused(browser.call("POST", f"v1/verifications/{old}/resend"), 410, "closed")
    answer = browser.press(page, "/phone/code/", {"resend": "1", "next": "/?on"})
    page = browser.follow(answer)
    assert hidden_fields(page.text)["verification"] != old
    assert "Calling you again." in page.text
    assert stage.arrived(phone) == 2
    browser.press(page, "/phone/code/", {"code": "0"})
    path = f"v1/verifications/{hidden_fields(page.text)['verification']}"
    assert browser.call("DELETE", path).status == 204
    page = browser.get(answer.target)
    page = browser.follow(browser.press(page, "/phone/code/", {"resend": "1", "channel": "sms"}))
    assert browser.press(page, "/phone/code/", {"code": stage.code(phone)}).location == "/"
    assert phone in browser.get("/").text


def starting_anew_in_two_tabs_sends_once(stage: Stage) -> None:
    """The page of the other tab shows the verification that the first one started, and says nothing of a sending."""
    browser, phone = stage.browser(), stage.phone()
    fields = {"phone": phone, "channel": "sms"}
    tabs = [browser.follow(browser.press(browser.get("/phone/login/"), "/phone/login/", fields))]
    assert browser.call("DELETE", f"v1/verifications/{hidden_fields(tabs[0].text)['verification']}").status == 204
    tabs.append(browser.follow(browser.press(browser.get("/phone/login/"), "/phone/login/", fields)))
    page = browser.follow(browser.press(tabs[0], "/phone/code/", {"resend": "1"}))
    assert hidden_fields(page.text)["verification"] == hidden_fields(tabs[1].text)["verification"]
    assert 'role="status">' not in page.text.split("<main")[1].split("<form")[0]
    assert stage.arrived(phone) == 2


def a_signed_in_visitor_is_told_so(stage: Stage) -> None:
    """The login page shows no form, signing out is confirmed, and a verified number leads on."""
    browser = stage.browser()
    phone = signed_in(stage, browser)
    page = browser.get("/phone/login/?next=/?on")
    assert "You are signed in as" in page.text
    assert 'name="phone"' not in page.text
    assert 'href="/?on"' in page.text
    assert 'name="phone"' in browser.get("/phone/login/?next=/phone/verify/").text, "to sign in again"
    page = browser.follow(browser.press(browser.get("/phone/verify/"), "/phone/verify/", {"confirm": "1"}))
    page = browser.follow(browser.press(page, "/phone/code/", {"code": stage.code(phone)}))
    assert "Your number is verified." in page.text
    assert ">Continue<" in page.text
    assert "data-pv-form" not in page.text
    assert "data-pv-form" in browser.get("/phone/verify/").text
    page = browser.get("/phone/logout/")
    assert ">Cancel<" in page.text
    page = browser.follow(browser.press(page, "/phone/logout/", {"next": "/phone/login/"}))
    assert "You have signed out." in page.text
    assert 'name="phone"' in page.text
    assert "You have signed out." not in browser.get("/phone/login/").text


def next_stays_on_the_site(stage: Stage) -> None:
    """No `next` leads to another host."""
    for target in (
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "http:evil.example",
    ):
        browser, phone = stage.browser(), stage.phone()
        browser.post_form("/phone/login/", phone=phone, channel="sms", next=target)
        answer = browser.post_form("/phone/code/", code=stage.code(phone), next=target)
        assert answer.status == 303
        assert "evil" not in answer.headers["location"]
        assert answer.location.startswith("/")


#: Every scenario, by its name.
SCENARIOS: dict[str, Callable[[Stage], None]] = {
    scenario.__name__: scenario
    for scenario in (
        sms_to_session,
        a_known_number_is_the_same_user,
        flash_call_to_session,
        inbound_call_to_session,
        a_code_and_a_call_live_side_by_side,
        a_call_from_another_phone_proves_nothing,
        another_binding_sees_nothing,
        a_strangers_start_changes_nothing,
        attempts_run_out,
        a_right_code_is_good_once,
        codes_as_people_type_them,
        wrong_types_lose_nothing,
        numbers_that_are_refused,
        numbers_as_people_type_them,
        sends_are_limited,
        a_resend_repeats_and_never_refills,
        a_repeated_request_sends_once,
        cancelling_ends_it,
        a_proof_is_for_its_purpose,
        a_user_changes_the_number,
        a_user_confirms_the_number,
        a_number_of_somebody_else_is_taken,
        a_number_is_not_changed_by_any_proof,
        purposes_are_on_a_list,
        a_proof_is_its_users,
        signing_in_and_out_leaves_no_verification,
        pages_finish_what_their_session_started,
        other_sessions_end_with_the_number,
        a_user_ends_other_sessions,
        other_sites_are_refused,
        a_trusted_origin_verifies_and_signs_in,
        every_api_answer_has_its_cors_headers,
        unknown_calls_are_problems,
        health_is_one_word,
        cookies_are_kept_close,
        a_known_browser_has_a_budget_of_its_own,
        a_device_continues_with_its_last_number,
        a_device_forgets_its_last_number,
        a_number_changed_elsewhere_is_not_offered,
        strangers_wrong_answers_close_no_known_browser_out,
        pages_sign_in_by_code,
        pages_sign_in_by_call,
        pages_show_the_code_and_the_call,
        a_page_shows_the_live_one_again,
        a_reload_sends_no_form_again,
        two_tabs_answer_their_own_questions,
        an_old_page_is_shown_again,
        an_ended_verification_starts_anew,
        starting_anew_in_two_tabs_sends_once,
        a_signed_in_visitor_is_told_so,
        forged_forms_are_refused,
        next_stays_on_the_site,
    )
}
