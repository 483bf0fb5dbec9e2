"""Forms and accounts of a site's own, as its settings name them by dotted paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.http import HttpRequest

from phone_verify.model import Assurance, Redeemed
from phone_verify_django.accounts import Accounts


class NameForm(forms.Form):
    """What a shop wants to know; some of it is not the user's."""

    first_name = forms.CharField(max_length=30)
    username = forms.CharField(required=False)
    password = forms.CharField(required=False, widget=forms.PasswordInput)
    newsletter = forms.BooleanField(required=False)
    is_staff = forms.BooleanField(required=False)


class UserForm(forms.ModelForm):  # type: ignore[type-arg]
    """The same as Django would have it."""

    class Meta:
        model = User
        fields = ("username", "first_name")


class Own(Accounts):
    """A site that lets its own people in by e-mail's finding, keeps out whom it wants, and counts newsletters."""

    #: What the last visitor filled in.
    filled_in: Mapping[str, Any] = {}

    def find(self, redeemed: Redeemed) -> AbstractBaseUser | None:
        """Also whoever has the number for a name."""
        return super().find(redeemed) or User.objects.filter(username=redeemed.phone.e164).first()

    def may_sign_up(self, redeemed: Redeemed, request: HttpRequest) -> bool:
        """By a code only."""
        return redeemed.assurance is Assurance.CODE and redeemed.phone.e164 != "+989120000099"

    def make(self, redeemed: Redeemed, request: HttpRequest, extra: Mapping[str, Any]) -> AbstractBaseUser:
        """Keep what is not the user's."""
        type(self).filled_in = extra
        return super().make(redeemed, request, extra)

    def may_sign_in(self, user: AbstractBaseUser, redeemed: Redeemed) -> bool:
        """Nobody of this name."""
        return user.get_username() != "banned"


class LostNumbers(Accounts):
    """Users of this site may change a number that they have lost, but for one."""

    def may_change_without_old(self, user: AbstractBaseUser, redeemed: Redeemed) -> bool:
        return redeemed.phone.e164 != "+989120000009"


class Broken(Accounts):
    """One that fails."""

    def make(self, redeemed: Redeemed, request: HttpRequest, extra: Mapping[str, Any]) -> AbstractBaseUser:
        """Never ends."""
        raise RuntimeError("the site's own error")
