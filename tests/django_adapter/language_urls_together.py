"""A site that has included everything within `i18n_patterns`."""

from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.urls import include, path

from tests.django_adapter.urls import home

urlpatterns = i18n_patterns(
    path("", home, name="home"),
    path("phone/", include("phone_verify_django.urls")),
)
