"""The tokens of apps without cookies: signed, for this site's API alone, for an hour."""

from django.contrib.auth.models import User
from django.core import signing
from django.http import HttpRequest

from phone_verify.model import Redeemed

AUDIENCE = "example-api"
SECONDS = 3600


def make(user: User, redeemed: Redeemed) -> str:
    """Return a token for the user of a verified number."""
    signed_in_at = int(redeemed.verified_at.timestamp())
    return signing.dumps({"sub": str(user.pk), "aud": AUDIENCE, "auth_time": signed_in_at}, salt=AUDIENCE)


def user(request: HttpRequest, token: str) -> tuple[User | None, int] | None:
    """Return the user of a valid token and the time of the sign-in, or None."""
    try:
        claims = signing.loads(token, salt=AUDIENCE, max_age=SECONDS)
    except signing.BadSignature:  # also one that has expired
        return None
    if claims["aud"] != AUDIENCE:
        return None
    return User.objects.filter(pk=claims["sub"]).first(), claims["auth_time"]
