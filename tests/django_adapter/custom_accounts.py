"""Custom forms and accounts, named in the settings by dotted paths."""

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
    """A sign-up form of a shop; not all fields are the user's."""

    first_name = forms.CharField(max_length=30)
    username = forms.CharField(required=False)
    password = forms.CharField(required=False, widget=forms.PasswordInput)
    newsletter = forms.BooleanField(required=False)
    is_staff = forms.BooleanField(required=False)


class UserForm(forms.ModelForm):  # type: ignore[type-arg]
    """The same as a Django model form."""

    class Meta:
        model = User
        fields = ("username", "first_name")


class Own(Accounts):
    """Accounts that find users by email, refuse some, and store newsletter choices."""

    #: The data of the last sign-up form.
    filled_in: Mapping[str, Any] = {}

    def find(self, redeemed: Redeemed) -> AbstractBaseUser | None:
        """Also users whose username is the number."""
        return super().find(redeemed) or User.objects.filter(username=redeemed.phone.e164).first()

    def may_sign_up(self, redeemed: Redeemed, request: HttpRequest) -> bool:
        """Allow sign-in by code only."""
        return redeemed.assurance is Assurance.CODE and redeemed.phone.e164 != "+989120000099"

    def make(self, redeemed: Redeemed, request: HttpRequest, extra: Mapping[str, Any]) -> AbstractBaseUser:
        """Keep the fields that are not the user's."""
        type(self).filled_in = extra
        return super().make(redeemed, request, extra)

    def may_sign_in(self, user: AbstractBaseUser, redeemed: Redeemed) -> bool:
        """Refuse this name."""
        return user.get_username() != "banned"


class LostNumbers(Accounts):
    """Accounts that let all users but one change a lost number."""

    def may_change_without_old(self, user: AbstractBaseUser, redeemed: Redeemed) -> bool:
        return redeemed.phone.e164 != "+989120000009"


class Broken(Accounts):
    """Accounts that raise."""

    def make(self, redeemed: Redeemed, request: HttpRequest, extra: Mapping[str, Any]) -> AbstractBaseUser:
        """Accounts that never return."""
        raise RuntimeError("the site's own error")
