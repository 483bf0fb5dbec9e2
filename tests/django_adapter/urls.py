"""The URLs of the site under test: a home page that shows the signed-in user, and our pages."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from phone_verify_django.accounts import phone_of


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse(phone_of(request.user) if request.user.is_authenticated else "nobody")


urlpatterns = [
    path("", home, name="home"),
    path("phone/", include("phone_verify_django.urls")),
]
