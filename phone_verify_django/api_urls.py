"""The URLs of the API and the webhooks alone, for a site whose pages have an address for each language.

    urlpatterns = [
        path("phone/", include("phone_verify_django.api_urls")),
        *i18n_patterns(path("phone/", include("phone_verify_django.page_urls"))),
    ]

Providers, apps and monitoring then use one address without a language. `phone_verify_django.urls`
contains both.
"""

import asyncio

from django.urls import ResolverMatch, URLPattern, path
from django.urls.resolvers import RegexPattern

from . import api_views, assets
from .site import can_await


class _Api(URLPattern):
    """One route for two views: the async one if resolved inside a task, as Django's ASGI handler does.

    A single async view is not enough: under WSGI Django would start a thread and an event loop for
    each request.
    """

    def resolve(self, path: str) -> ResolverMatch | None:
        match = super().resolve(path)
        if match is not None and _in_a_task() and can_await():
            match.func = api_views.aapi
        return match


def _in_a_task() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


app_name = "phone_verify_api"

urlpatterns = [
    # One view for all of it, so that unknown paths get a problem body too.
    _Api(
        RegexPattern(r"^(?P<path>(?:v1|webhooks)(?:/[\s\S]*)?)\Z", name="api", is_endpoint=True),
        api_views.api,
        name="api",
    ),
    # The client takes the API from its own address, which then has no language either.
    path("static/<path:name>", assets.static, name="static"),
]
