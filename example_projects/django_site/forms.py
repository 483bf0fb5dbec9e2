"""The site's forms."""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from texts import lazy_text

from phone_verify import InvalidPhoneError
from phone_verify_django.formfields import PhoneField
from phone_verify_django.otp.models import ChallengeError, PhoneDevice


class NameForm(forms.ModelForm):
    """A custom field of the site: on the profile and, with ASK_NAME=1, at sign-up."""

    first_name = forms.CharField(
        label=lazy_text("your_name"), max_length=150, widget=forms.TextInput(attrs={"class": "pv-input"})
    )

    class Meta:
        model = User
        fields = ("first_name",)


class DeviceForm(forms.Form):
    """A form for a second phone as second factor: first its number, then the code sent to it."""

    phone = PhoneField(label=lazy_text("second_number"))
    code = forms.CharField(label=lazy_text("code"), required=False, max_length=32)

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user, self.challenge = user, ""
        for field in self.fields.values():
            field.widget.attrs["class"] = "pv-input"

    def clean(self) -> None:
        """Send a code, or check it."""
        phone, code = self.cleaned_data.get("phone"), self.cleaned_data.get("code")
        if not phone:
            return
        device, _ = PhoneDevice.objects.get_or_create(user=self.user, phone=phone, defaults={"confirmed": False})
        if device.confirmed:
            raise forms.ValidationError(lazy_text("already_second"))
        if code:
            if not device.verify_is_allowed()[0]:
                raise forms.ValidationError(lazy_text("too_many"))
            if not device.verify_token(code):
                raise forms.ValidationError(lazy_text("incorrect_code"))
            device.confirmed = True
            device.save()
            return
        try:
            self.challenge = device.generate_challenge()
        except (ChallengeError, InvalidPhoneError) as error:
            raise forms.ValidationError(str(error)) from None
