"""The admin page that sends a test: start a verification, see its state, and enter the code."""

from __future__ import annotations

import logging
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from phone_verify import Channel, InvalidPhoneError, Outcome, PhoneNumber, Reason, Started, StoreError, Verifier
from phone_verify.api.representation import dial, seconds_left
from phone_verify.http.client_address import call_address
from phone_verify.i18n.languages import ENGLISH, named
from phone_verify.i18n.texts import texts_in
from phone_verify.model import DeliveryReport

from . import admin_display
from .calls import page_call
from .site import current_site

log = logging.getLogger("phone_verify")

PURPOSE = "confirm"
TEMPLATE = "admin/phone_verify_django/send_test.html"

#: Session key of the id and the secret of the current test. A session keeps nothing else of it.
_SESSION_KEY = "phone_verify_test"

_BUTTONS = ("start", "check", "again", "end")


class _Number(forms.Form):
    number = forms.CharField(
        label=_("Phone number"), max_length=64, widget=forms.TextInput(attrs={"class": "vTextField", "dir": "ltr"})
    )
    channel = forms.ChoiceField(label=_("Channel"), required=False)

    def __init__(self, verifier: Verifier, *args: Any) -> None:
        super().__init__(*args)
        self._policy = verifier.policy
        channel: Any = self.fields["channel"]
        channel.choices = [("", _("Default")), *((c.value, admin_display.CHANNELS[c.value]) for c in verifier.channels)]

    def clean_number(self) -> PhoneNumber:
        """Return the number as a value."""
        try:
            region = self._policy.region
            return PhoneNumber.read(self.cleaned_data["number"], region, also=self._policy.regions_after(region))
        except InvalidPhoneError as error:
            raise forms.ValidationError(str(error)) from None


def view(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Show the form or the current test; perform the action of a button and show the new state."""
    site = current_site()
    if request.META.get("wsgi.multiprocess"):
        site.warn_multiprocess()
    form = _Number(site.verifier, request.POST if "start" in request.POST else None)
    try:
        if request.method == "POST" and _perform(request, site.verifier, form):
            return HttpResponseRedirect(request.path)
        outcome, delivery = _current_state(request, site.verifier)
    except StoreError as error:
        log.error("a test could not be sent or checked in the admin: %s", error)
        messages.error(request, _("The store is unavailable."))
        outcome, delivery = None, None
    if outcome is not None and outcome.verification is not None:
        record = outcome.verification
        context |= {
            "record": record,
            "hint": record.phone.hint,
            "state": admin_display.state_badge(record.state.value),
            "channel": admin_display.CHANNELS[record.channel.value],
            "dial": dial(record),
            "seconds": seconds_left(record, record.expires_at),
            "delivery": delivery,
            "delivery_state": admin_display.DELIVERY[delivery.state.value] if delivery else "",
        }
    title = _("Send a test")
    return TemplateResponse(request, TEMPLATE, {**context, "title": title, "form": form})


def _perform(request: HttpRequest, verifier: Verifier, form: _Number) -> bool:
    """Perform the action of the button. Return False if the form has errors to show, otherwise redirect."""
    id, secret = request.session.get(_SESSION_KEY, ("", ""))
    match next((button for button in _BUTTONS if button in request.POST), "new"):
        case "start":
            if not form.is_valid():
                return False
            channel = Channel(form.cleaned_data["channel"]) if form.cleaned_data["channel"] else None
            language = named(get_language() or "") or ENGLISH
            outcome: Outcome = verifier.start(
                form.cleaned_data["number"],
                purpose=PURPOSE,
                channel=channel,
                locale=language.tag,
                shown=[secret],
                subject=str(request.user.pk),
            )
            if isinstance(outcome, Started):
                request.session[_SESSION_KEY] = [outcome.verification.id, outcome.secret]
        case "check":
            address = call_address(current_site(), page_call(request))
            outcome = verifier.check(id, secret, request.POST.get("code", ""), address=address)
        case "again":
            outcome = verifier.resend(id, secret)
        case "end":
            outcome = verifier.cancel(id, secret)
        case _:
            request.session.pop(_SESSION_KEY, None)
            return True
    if outcome.reason is not None:
        messages.error(request, _error_text(outcome))
    return True


def _current_state(request: HttpRequest, verifier: Verifier) -> tuple[Outcome | None, DeliveryReport | None]:
    """Return the state of the current test, and the provider's delivery report."""
    if _SESSION_KEY not in request.session:
        return None, None
    id, secret = request.session[_SESSION_KEY]
    outcome = verifier.poll(id, secret)
    if outcome.reason is Reason.NOT_FOUND:
        del request.session[_SESSION_KEY]
        return None, None
    record = outcome.verification
    return outcome, verifier.delivery(id) if record is not None and record.open else None


def _error_text(outcome: Outcome) -> str:
    return texts_in(named(get_language() or "") or ENGLISH).refusal(outcome)
