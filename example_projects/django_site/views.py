"""The site's own page: who is signed in."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from phone_verify_django.accounts import phone_of


@never_cache
def home(request: HttpRequest) -> HttpResponse:
    """The signed-in number, or a link to sign in."""
    phone = phone_of(request.user) if request.user.is_authenticated else None
    return render(request, "home.html", {"phone": phone})
