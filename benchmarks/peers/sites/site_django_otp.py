"""django-otp: its device for codes by e-mail behind two thin views, since it has none and no device for SMS."""

import json

import outbox
from django.core.mail.backends.base import BaseEmailBackend
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django_site import application as site
from django_site import configure, users

configure(
    __name__,
    ["people", "django_otp", "django_otp.plugins.otp_email"],
    AUTH_USER_MODEL="people.User",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    EMAIL_BACKEND=f"{__name__}.Outbox",
    OTP_EMAIL_BODY_TEMPLATE="{{ token }}",
    OTP_EMAIL_SENDER="site@example.com",
)

from django_otp.plugins.otp_email.models import EmailDevice  # noqa: E402
from people.models import User  # noqa: E402


class Outbox(BaseEmailBackend):
    def send_messages(self, messages: list[object]) -> int:
        for message in messages:
            outbox.send(message.to[0], message.body.strip())
        return len(messages)


def _device(request: HttpRequest) -> tuple[EmailDevice, dict[str, str]]:
    asked = json.loads(request.body)
    return EmailDevice.objects.get(user__mobile=asked["phone"]), asked


def start(request: HttpRequest) -> JsonResponse:
    device, _ = _device(request)
    return JsonResponse({"detail": device.generate_challenge()}, status=201)


def check(request: HttpRequest) -> JsonResponse:
    device, asked = _device(request)
    right = device.verify_token(asked["code"])
    return JsonResponse({"right": right}, status=200 if right else 400)


def _devices() -> None:
    users()
    EmailDevice.objects.bulk_create(
        [EmailDevice(user=user, name="email", email=user.mobile + "@example.com") for user in User.objects.all()]
    )


urlpatterns = [path("start", start), path("check", check)]
application = site(_devices)
