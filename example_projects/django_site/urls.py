"""The pages of the site: one of its own, and those of phone_verify under /phone/."""

from django.urls import include, path
from views import home

urlpatterns = [
    path("", home, name="home"),
    path("phone/", include("phone_verify_django.urls")),
]
