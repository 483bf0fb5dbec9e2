"""The admin's page that removes the locks of a number."""

from __future__ import annotations

import logging
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

from phone_verify import PhoneNumber, StoreError

from .formfields import StoredPhoneField
from .site import current_site

log = logging.getLogger("phone_verify")

TEMPLATE = "admin/phone_verify_django/unlock.html"


class _Number(forms.Form):
    number = StoredPhoneField(
        label=_("Phone number"),
        widget=forms.TextInput(attrs={"class": "vTextField", "dir": "ltr", "autocomplete": "off"}),
    )


def view(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Show the form; unlock the number that is posted, and redirect back to the form."""
    site = current_site()
    if request.META.get("wsgi.multiprocess"):
        site.warn_multiprocess()
    form = _Number(request.POST if request.method == "POST" else None)
    if form.is_valid():
        phone = PhoneNumber(form.cleaned_data["number"])
        try:
            unlocked = site.verifier.unlock(phone)
        except StoreError as error:
            log.error("a number could not be unlocked in the admin: %s", error)
            messages.error(request, _("The store is unavailable."))
        else:
            # The admin's log needs a row, and a locked number may have none.
            log.info("user %s unlocked the number tagged %s", request.user.pk, site.verifier.tag(phone))
            if unlocked:
                messages.success(request, _("%s is unlocked.") % phone.hint)
            else:
                messages.info(request, _("%s had no wrong answers and no lock.") % phone.hint)
        return HttpResponseRedirect(request.path)
    return TemplateResponse(request, TEMPLATE, {**context, "title": _("Unlock a number"), "form": form})
