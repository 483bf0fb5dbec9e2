"""The site under test with its admin, and with an admin guarded by django-otp."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django_otp.admin import OTPAdminSite
from django_otp.decorators import otp_required
from django_otp.views import LoginView

from phone_verify_django.admin import VerifiedPhoneInline
from phone_verify_django.models import VerifiedPhone

from . import urls

guarded_admin = OTPAdminSite(OTPAdminSite.name)
guarded_admin.register(VerifiedPhone)


class UserWithPhonesAdmin(UserAdmin):
    inlines = (VerifiedPhoneInline,)


admin.site.unregister(User)
admin.site.register(User, UserWithPhonesAdmin)


@otp_required(login_url="otp_login")
def treasure(request: HttpRequest) -> HttpResponse:
    return HttpResponse("treasure")


async def who(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    return HttpResponse(str(user.is_verified()))


urlpatterns = [
    *urls.urlpatterns,
    path("admin/", admin.site.urls),
    path("otpadmin/", guarded_admin.urls),
    path("second/", LoginView.as_view(template_name="admin/login.html"), name="otp_login"),
    path("treasure/", treasure),
    path("who/", who),
]
