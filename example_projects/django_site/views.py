"""The site's pages."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django_otp.decorators import otp_required
from django_otp.views import LoginView
from forms import DeviceForm, NameForm

from phone_verify_django.accounts import phone_of
from phone_verify_django.decorators import phone_verified_required, recent_phone_check_required
from phone_verify_django.otp.models import PhoneDevice


def confirmed(user: User) -> QuerySet[PhoneDevice]:
    """Return the phones that are the user's second factors."""
    return PhoneDevice.objects.filter(user=user, confirmed=True)


@never_cache
def home(request: HttpRequest) -> HttpResponse:
    """Show the number of the signed-in user, or a link to sign in."""
    phone = phone_of(request.user) if request.user.is_authenticated else None
    return render(request, "home.html", {"phone": phone})


@never_cache
@phone_verified_required
def profile(request: HttpRequest) -> HttpResponse:
    """Show and edit the profile: number, name, second factors."""
    form = NameForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("profile")
    return render(
        request, "profile.html", {"form": form, "devices": request.user.phone_verify_devices.filter(confirmed=True)}
    )


@never_cache
@recent_phone_check_required(max_age=600)
def payout(request: HttpRequest) -> HttpResponse:
    """A page for users who verified their number in the last ten minutes."""
    return render(request, "payout.html")


@never_cache
@otp_required(if_configured=True)  # otherwise the first factor could replace the second
@recent_phone_check_required(max_age=600)
def add_device(request: HttpRequest) -> HttpResponse:
    """Add another phone as a second factor."""
    form = DeviceForm(request.user, request.POST or None)
    if request.method == "POST" and form.is_valid() and not form.challenge:
        return redirect("profile")
    return render(request, "add_device.html", {"form": form})


@never_cache
@otp_required
def vault(request: HttpRequest) -> HttpResponse:
    """A page for users who passed a second factor."""
    return render(request, "vault.html")


class SecondFactor(LoginView):
    """django-otp's view: it sends a code to the second phone and checks it."""

    template_name = "second_factor.html"

    def get_form(self, form_class: Any = None) -> Any:
        """Return the form in the style of our pages."""
        form = super().get_form(form_class)
        for name in ("otp_device", "otp_token"):
            form.fields[name].widget.attrs["class"] = "pv-input"
        form.fields["otp_device"].choices = form.fields["otp_device"].choices[1:]  # without the empty choice
        return form

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the template context."""
        return super().get_context_data(devices=confirmed(self.request.user), **kwargs)


second_factor = login_required(SecondFactor.as_view())
