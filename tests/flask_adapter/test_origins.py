"""CORS headers of the Flask adapter, where the site's own code or an error answers."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, Response, abort, session

from phone_verify.errors import ConfigurationError, StoreError
from phone_verify_flask import PhoneVerify

from .sites import KEY, is_problem, make, proof

APP = "https://app.example"
HEADERS = {"Origin": APP, "Sec-Fetch-Site": "cross-site"}
VERIFICATIONS = "/phone/v1/verifications"


def is_readable(answer: Any) -> bool:
    """Return whether the trusted origin may read the answer."""
    return answer.headers.getlist("Access-Control-Allow-Origin") == [APP] and "Origin" in answer.vary


def test_trusted_origin_reads_errors_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(PHONE_VERIFY_TRUSTED_ORIGINS=APP)
    client = made.app.test_client()
    fields = {"proof": proof(client, made)}

    def fail(*_: object) -> None:
        raise RuntimeError("a bug of the site")

    made.app.extensions["phone_verify"].accounts.user_for_phone = fail
    made.app.testing = False
    answer = client.post("/phone/v1/session", json=fields, headers=HEADERS)
    assert is_problem(answer, 500, "internal_error")
    assert is_readable(answer)

    async def down(*_: object) -> None:
        raise StoreError("no answer")

    monkeypatch.setattr(made.app.extensions["phone_verify"].site.verifier._flows._store, "get", down)
    answer = client.get("/phone/v1/health", headers=HEADERS)
    assert is_problem(answer, 503, "unavailable")
    assert is_readable(answer)


def test_trusted_origin_reads_the_site_s_own_refusal() -> None:
    def prepare(app: Flask) -> None:
        app.before_request(lambda: abort(Response("no", 418, headers={"Vary": "Accept-Language"})))

    answer = (
        make(before=prepare, PHONE_VERIFY_TRUSTED_ORIGINS=APP).app.test_client().get(VERIFICATIONS, headers=HEADERS)
    )
    assert answer.status_code == 418
    assert is_readable(answer)
    assert "Accept-Language" in answer.vary


def test_vary_of_the_site_is_kept() -> None:
    def prepare(app: Flask) -> None:
        app.before_request(lambda: session.get("x") and None)

    answer = make(before=prepare).app.test_client().get("/phone/v1/health", headers=HEADERS)
    assert set(answer.vary) == {"Origin", "Cookie"}
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_mistake_stops_the_start_in_flask_s_words() -> None:
    app = Flask("site")
    app.config.update(
        SECRET_KEY=KEY, PHONE_VERIFY_TRUSTED_ORIGINS="https://*.app.example", PHONE_VERIFY_STORE="memory:"
    )
    with pytest.raises(ConfigurationError, match=r"^PHONE_VERIFY_TRUSTED_ORIGINS: wildcards"):
        PhoneVerify(app)
