"""The tokens of apps without cookies: signed, for this site's API alone, for an hour."""

from flask import current_app
from itsdangerous import BadData, URLSafeTimedSerializer

AUDIENCE = "example-api"
SECONDS = 3600


def serializer():
    """Return what signs and verifies tokens with the site's key."""
    return URLSafeTimedSerializer(current_app.secret_key, salt=AUDIENCE)


def token_for_user(user, redeemed):
    """Return a token for the user of a verified number."""
    signed_in_at = int(redeemed.verified_at.timestamp())
    return serializer().dumps({"sub": user.get_id(), "aud": AUDIENCE, "auth_time": signed_in_at})


def claims_of(token):
    """Return the claims of a valid token, or None."""
    try:
        claims = serializer().loads(token, max_age=SECONDS)
    except BadData:  # also one that has expired
        return None
    return claims if claims["aud"] == AUDIENCE else None
