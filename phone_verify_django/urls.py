"""Everything below the mount: `path("phone/", include("phone_verify_django.urls"))`."""

from django.urls import path, re_path

from . import views

app_name = "phone_verify"

urlpatterns = [
    path("login/", views.login, name="login"),
    path("code/", views.code, name="code"),
    path("logout/", views.logout, name="logout"),
    path("static/<str:name>", views.static, name="static"),
    # All of it to one view, so that what does not exist there is a problem body too.
    re_path(r"^(?P<path>(?:v1|webhooks)/[\s\S]*)\Z", views.api, name="api"),
]
