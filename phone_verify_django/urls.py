"""The URLs below the mount point: `path("phone/", include("phone_verify_django.urls"))`."""

import asyncio

from django.urls import ResolverMatch, URLPattern, path
from django.urls.resolvers import RegexPattern

from . import api_views, assets, signup, views
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


app_name = "phone_verify"

urlpatterns = [
    path("login/", views.LoginView.as_view(), name="login"),
    path("code/", views.CodeView.as_view(), name="code"),
    path("signup/", signup.SignUpView.as_view(), name="signup"),
    path("verify/", views.VerifyView.as_view(), name="verify"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path("static/<str:name>", assets.static, name="static"),
    # One view for all of it, so that unknown paths get a problem body too.
    _Api(
        RegexPattern(r"^(?P<path>(?:v1|webhooks)(?:/[\s\S]*)?)\Z", name="api", is_endpoint=True),
        api_views.api,
        name="api",
    ),
]
