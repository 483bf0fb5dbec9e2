"""docs/tokens.md, "Flask with joserfc": its blocks, on a site under test."""

from __future__ import annotations

import sys
import time
from base64 import urlsafe_b64encode
from types import ModuleType
from typing import Any

import pytest

from phone_verify_flask import PhoneVerify
from tests.conftest import FENCED
from tests.test_token_client import PAGE

from .sites import PHONE, Made, is_problem, make, proof

pytest.importorskip("joserfc")

SECTION = PAGE.split("\n## Flask with joserfc\n")[1].split("\n## ")[0]
MODULE, APPLICATION = FENCED.findall(SECTION)


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("SHOP_TOKEN_KEY", "a-key-for-tests-0123456789abcdef-0123456789abcdef")
    module = ModuleType("tokens")
    exec(compile(MODULE, "tokens.py", "exec"), vars(module))
    monkeypatch.setitem(sys.modules, "tokens", module)
    return module


@pytest.fixture
def made(tokens: ModuleType) -> Made:
    extension = PhoneVerify()
    made = make(extension=extension)
    exec(compile(APPLICATION, "app.py", "exec"), {"phone_verify": extension, "load_user": made.load})
    return made


def get(made: Made, token: str) -> Any:
    return made.app.test_client().get("/phone/v1/session", headers={"Authorization": f"Bearer {token}"})


def test_token_of_the_guide_is_accepted(made: Made) -> None:
    client = made.app.test_client()
    answer = client.post("/phone/v1/token", json={"proof": proof(client, made)})
    assert answer.json["token"]["token_type"] == "Bearer"
    assert get(made, answer.json["token"]["access_token"]).json["user"]["phone"] == PHONE


def test_other_tokens_are_401(made: Made, tokens: Any) -> None:
    client = made.app.test_client()
    client.post("/phone/v1/token", json={"proof": proof(client, made)})
    good = {"sub": "u0", "aud": "shop-api", "exp": int(time.time()) + 60, "auth_time": 1}
    sign = tokens.jwt.encode
    assert get(made, sign({"alg": "HS256"}, good, tokens.KEY)).status_code == 200
    other = tokens.OctKey.import_key("another-key-0123456789abcdef-0123456789abcdef")
    wrong = [
        sign({"alg": "HS256"}, good, other),
        *(
            sign({"alg": "HS256"}, {**good, **change}, tokens.KEY)
            for change in ({"aud": "x"}, {"exp": 1}, {"sub": "u9"})
        ),
        *(
            sign({"alg": "HS256"}, {k: v for k, v in good.items() if k != name}, tokens.KEY)
            for name in ("aud", "exp", "sub")
        ),
        sign({"alg": "HS512"}, good, tokens.KEY, algorithms=["HS512"]),
        "x",
        urlsafe_b64encode(b'{"alg":"HS256","crit":1}').decode().rstrip("=") + ".e30.eA",
    ]
    for token in wrong:
        answer = get(made, token)
        assert is_problem(answer, 401, "not_signed_in"), token
        assert answer.headers["WWW-Authenticate"] == "Bearer"
