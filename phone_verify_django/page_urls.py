"""The URLs of the pages alone, for `i18n_patterns`; see `api_urls`."""

from django.urls import path

from . import assets, signup, site_requirements, views

app_name = "phone_verify"

urlpatterns = [
    path("login/", views.LoginView.as_view(), name="login"),
    path("code/", views.CodeView.as_view(), name="code"),
    path("signup/", signup.SignUpView.as_view(), name="signup"),
    path("verify/", views.VerifyView.as_view(), name="verify"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path("static/<path:name>", assets.static, name="static"),
]

# Here, since a server that runs no checks loads its URLs before it sends anything.
site_requirements.log_complaints()
