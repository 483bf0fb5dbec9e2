"""The URLs below the mount point: `path("phone/", include("phone_verify_django.urls"))`."""

from . import api_urls, page_urls

app_name = page_urls.app_name

urlpatterns = [*api_urls.urlpatterns, *page_urls.urlpatterns]
