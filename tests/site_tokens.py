"""Tokens of the sites under test: signed by itsdangerous, with an audience, for an hour."""

from __future__ import annotations

from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer

AUDIENCE = "the-api-of-the-tests"
KEY = "a-key-of-tokens-0123456789abcdef"


def sign(user_id: object, *, audience: str = AUDIENCE, signed_in_at: object = None, key: str = KEY) -> str:
    """Return a token of this user."""
    claims = {"sub": str(user_id), "aud": audience, "auth_time": signed_in_at}
    return str(URLSafeTimedSerializer(key, salt="token").dumps(claims))


def claims_of(token: str) -> Any:
    """Return the claims of a valid token, or None."""
    try:
        claims = URLSafeTimedSerializer(KEY, salt="token").loads(token, max_age=3600)
    except BadData:
        return None
    return claims if claims["aud"] == AUDIENCE else None


def make(user: Any, redeemed: Any) -> str:
    """Make the token of a Django or Flask site under test."""
    return sign(user.get_id() if hasattr(user, "get_id") else user.pk)


def django_user(request: Any, token: str) -> Any:
    """Return the user of a token on a Django site under test."""
    from django.contrib.auth import get_user_model

    claims = claims_of(token)
    return claims and (get_user_model().objects.filter(pk=claims["sub"]).first(), claims["auth_time"])
