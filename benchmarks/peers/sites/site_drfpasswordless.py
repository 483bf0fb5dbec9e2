"""drfpasswordless: sign-in of known users by its own views, with its default token."""

import outbox
from django.urls import include, path
from django_site import KEPT, configure, users
from django_site import application as site

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


from drfpasswordless.models import CallbackToken  # noqa: E402
from people.models import User  # noqa: E402


def send(user: object, token: object, **_: str) -> bool:
    outbox.send(token.to_alias, token.key)
    return True


def _people() -> None:
    users()
    people = list(User.objects.all())
    CallbackToken.objects.bulk_create(
        [
            CallbackToken(
                user=user,
                key=f"{place:06d}",
                is_active=False,
                to_alias=user.mobile,
                to_alias_type="MOBILE",
                type="AUTH",
            )
            for place in range(KEPT)
            for user in [people[place % len(people)]]
        ],
        batch_size=5000,
    )


urlpatterns = [path("", include("drfpasswordless.urls"))]
application = site(_people)
