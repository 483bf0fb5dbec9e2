"""A site whose pages have an address for each language, and whose API and webhooks have one."""

from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.urls import include, path

from tests.django_adapter.urls import home

urlpatterns = [
    path("phone/", include("phone_verify_django.api_urls")),
    *i18n_patterns(
        path("", home, name="home"),
        path("phone/", include("phone_verify_django.page_urls")),
    ),
]
