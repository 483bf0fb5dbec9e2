"""django-allauth: sign-in of known users by a code, by its API for apps, which keeps the code in the session."""

import outbox
from django.urls import include, path
from django_site import application as site
from django_site import configure, users

configure(
    __name__,
    ["people", "allauth", "allauth.account", "allauth.headless"],
    (
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "allauth.account.middleware.AccountMiddleware",
    ),
    AUTH_USER_MODEL="people.User",
    AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
    ACCOUNT_ADAPTER=f"{__name__}.Adapter",
    ACCOUNT_LOGIN_METHODS={"phone"},
    ACCOUNT_SIGNUP_FIELDS=["phone*"],
    ACCOUNT_LOGIN_BY_CODE_ENABLED=True,
    # Its limits for an address are far below the load of the one that the benchmark has.
    ACCOUNT_RATE_LIMITS=False,
    HEADLESS_ONLY=True,
    HEADLESS_CLIENTS=("app",),
)

from allauth.account.adapter import DefaultAccountAdapter  # noqa: E402
from people.models import User  # noqa: E402


class Adapter(DefaultAccountAdapter):
    def send_verification_code_sms(self, user: User, phone: str, code: str, **_: object) -> None:
        outbox.send(phone, code)

    def set_phone(self, user: User, phone: str, verified: bool) -> None:
        user.mobile = phone
        user.save()

    def get_phone(self, user: User) -> tuple[str, bool] | None:
        return (user.mobile, True) if user.mobile else None

    def set_phone_verified(self, user: User, phone: str) -> None:
        pass

    def get_user_by_phone(self, phone: str) -> User | None:
        return User.objects.filter(mobile=phone).first()


urlpatterns = [path("", include("allauth.headless.urls"))]
application = site(users)
