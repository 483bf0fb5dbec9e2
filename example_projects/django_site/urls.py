"""The URLs of the site: its pages, and those of phone_verify under /phone/."""

import views
from django.apps import apps
from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", views.home, name="home"),
    path("profile/", views.profile, name="profile"),
    path("payout/", views.payout, name="payout"),
    path("vault/", views.vault, name="vault"),
    path("second-factor/", views.second_factor, name="second_factor"),
    path("second-factor/add/", views.add_device, name="add_device"),
    path("phone/", include("phone_verify_django.urls")),
    path("language/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url=static("icon.svg"))),
]
if apps.is_installed("oauth2_provider"):
    from oauth import me

    urlpatterns += [
        path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
        path("api/me/", me, name="me"),
    ]
