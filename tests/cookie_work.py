"""What a request does with the values of our cookies: decode, encode, sign and set them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from phone_verify.http import cookies
from phone_verify.tokens.signer import StampedSigner


def noted(monkeypatch: pytest.MonkeyPatch, adapter: ModuleType) -> list[str]:
    """Return a list that gets an entry for each step on a cookie, and for each signature, made or verified.

    `adapter` is the module of the adapter that sets cookies.
    """
    found: list[str] = []

    def note(owner: object, name: str, entry: Callable[..., str]) -> None:
        original = getattr(owner, name)

        def called(*given: Any, **named: Any) -> Any:
            found.append(entry(*given))
            return original(*given, **named)

        monkeypatch.setattr(owner, name, called)

    def salt(signer: StampedSigner, *_: object) -> str:
        return bytes(signer.salt).decode().partition("\0")[0]

    note(cookies, "pairs", lambda *_: "decode")
    note(cookies, "_joined", lambda *_: "encode")
    note(adapter, "cookie_arguments", lambda _, cookie, *__: f"set {cookie}")
    note(StampedSigner, "sign_at", salt)
    note(StampedSigner, "unsign_at", salt)
    return found
