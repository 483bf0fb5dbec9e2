"""drfpasswordless: sign-in of known users by its own views, with its default token."""

import outbox
from django.urls import include, path
from django_site import application as site
from django_site import configure, users

configure(
    __name__,
    ["rest_framework", "rest_framework.authtoken", "people", "drfpasswordless"],
    AUTH_USER_MODEL="people.User",
    PASSWORDLESS_AUTH={
        "PASSWORDLESS_AUTH_TYPES": ["MOBILE"],
        "PASSWORDLESS_MOBILE_NOREPLY_NUMBER": "+15550100",
        "PASSWORDLESS_SMS_CALLBACK": f"{__name__}.send",
    },
)


def send(user: object, token: object, **_: str) -> bool:
    outbox.send(token.to_alias, token.key)
    return True


urlpatterns = [path("", include("drfpasswordless.urls"))]
application = site(users)
