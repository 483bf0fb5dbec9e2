"""Everything below the mount: `path("phone/", include("phone_verify_django.urls"))`."""

import asyncio

from django.urls import ResolverMatch, URLPattern, path
from django.urls.resolvers import RegexPattern

from . import signup, views
from .site import can_await


class _Api(URLPattern):
    """One address for two views: the async one where a task asks for it, as Django's ASGI handler does.

    Not an async view alone: under WSGI Django would run it in a thread and an event loop of its own, anew for each
    request.
    """

    def resolve(self, path: str) -> ResolverMatch | None:
        match = super().resolve(path)
        if match is not None and _in_a_task() and can_await():
            match.func = views.aapi
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
    path("static/<str:name>", views.static, name="static"),
    # All of it to one view, so that what does not exist there is a problem body too.
    _Api(
        RegexPattern(r"^(?P<path>(?:v1|webhooks)(?:/[\s\S]*)?)\Z", name="api", is_endpoint=True), views.api, name="api"
    ),
]
