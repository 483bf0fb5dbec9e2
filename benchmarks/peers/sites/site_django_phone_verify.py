"""django-phone-verify: its API, by its own views."""

import outbox
from django.urls import include, path
from django_site import KEPT, configure
from django_site import application as site

configure(
    __name__,
    ["rest_framework", "phone_verify"],
    PHONE_VERIFICATION={
        "BACKEND": f"{__name__}.Backend",
        "OPTIONS": {},
        "TOKEN_LENGTH": 6,
        "MESSAGE": "{app}: {security_code}",
        "APP_NAME": "Example",
        "SECURITY_CODE_EXPIRATION_SECONDS": 600,
        "VERIFY_SECURITY_CODE_ONLY_ONCE": True,
    },
)

from phone_verify.backends.base import BaseBackend  # noqa: E402
from phone_verify.models import SMSVerification  # noqa: E402
from rest_framework.routers import SimpleRouter  # noqa: E402

from phone_verify.api import VerificationViewSet  # noqa: E402


class Backend(BaseBackend):
    def __init__(self, **options: str) -> None:
        self.exception_class = OSError

    def send_sms(self, number: str, message: str) -> None:
        outbox.send(number, message.rpartition(" ")[2])

    def send_bulk_sms(self, numbers: list[str], message: str) -> None:
        raise NotImplementedError


def _earlier() -> None:
    SMSVerification.objects.bulk_create(
        [
            SMSVerification(phone_number=f"+98913{place:07d}", security_code="123456", session_token=f"{place:0112d}")
            for place in range(KEPT)
        ],
        batch_size=5000,
    )


router = SimpleRouter(trailing_slash=False)
router.register("phone", VerificationViewSet, basename="phone")
urlpatterns = [path("", include(router.urls))]
application = site(_earlier)
