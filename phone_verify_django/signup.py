"""The page on which a new user fills in the site's own form, after the proof of the number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase

from phone_verify.web import flow

from . import accounts, app_settings, pending_signup
from .app_settings import load
from .views import PageView

#: Widgets that the style sheet's box around a text is not for.
_NO_BOX = (forms.CheckboxInput, forms.RadioSelect, forms.CheckboxSelectMultiple, forms.HiddenInput, forms.FileInput)


class SignUpView(PageView):
    """Fill in the form that `PHONE_VERIFY["signup_form"]` names; then the user is made and signed in.

    The form is the site's own: a `Form`, or a `ModelForm` of the user model. What it has cleaned goes to
    `Accounts.make`. Whoever has waited too long, or whose number somebody has by now, starts again.
    """

    template_name = "phone_verify/signup.html"
    #: Bytes of a form with files, which only users with a verified number can send.
    max_upload_size = 10 * 1024 * 1024
    path = "signup/"
    #: Whose number waits; there from `dispatch` on.
    signup_required: pending_signup.PendingSignup

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Show or take the form, if a number waits for it."""
        waiting = pending_signup.waiting(request)
        if waiting is None:
            pending_signup.forget(request)
            return self._start_again()
        self.signup_required = waiting
        return super().dispatch(request, *args, **kwargs)

    def takes_files(self) -> bool:
        """Whether the site's form has a field for files, and a number waits for it."""
        return pending_signup.waiting(self.request) is not None and bool(self.get_form().is_multipart())

    def refused_form(self) -> HttpResponse | None:
        """The answer to a form that must not be read, or None."""
        if self.request.content_type == "multipart/form-data" and self.takes_files():
            self.max_form_size = self.max_upload_size
        return super().refused_form()

    def get(self, request: HttpRequest) -> HttpResponse:
        """The empty form."""
        return self._with_form(flow.Page(texts=self.call.texts, next=self.next), self.get_form())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Make the user, and sign in."""
        form, signup_required = self.get_form(data=request.POST), self.signup_required
        page = flow.Page(texts=self.call.texts, next=self.next)
        if not form.is_valid():
            return self._with_form(replace(page, status=400), form)
        try:
            account = accounts.sign_up(
                request,
                signup_required.redeemed,
                form.cleaned_data,
                remember=signup_required.remember,
                next_url=self.next_after_steps,
            )
        except accounts.MfaRequiredError as error:
            return self.further_step(error)
        except ValidationError as error:
            _add(form, error)
            return self._with_form(replace(page, status=400), form)
        if account is not None:
            return self.entered(signup_required.redeemed)
        if not accounts.is_new(signup_required.redeemed):
            pending_signup.forget(request)
            return self._start_again()
        return self._with_form(replace(page, error=page.text["login_refused"], status=403), form)

    def get_form_class(self) -> Any:
        """The class that the settings name, or the view's own `form_class`."""
        named = self.form_class or load(app_settings.account_settings().signup_form)
        if named is None:
            raise ImproperlyConfigured("PHONE_VERIFY['signup_form'] is not set: name the form of new users there")
        return named

    def get_form(self, page: flow.Page | None = None, data: QueryDict | None = None) -> Any:
        """The form, empty or with what was posted."""
        files = self.request.FILES if data is not None else None
        form = self.get_form_class()(data, files, **self.get_form_kwargs())
        for field in form.fields.values():
            if not isinstance(field.widget, _NO_BOX):
                field.widget.attrs.setdefault("class", "pv-input")
        return form

    def _with_form(self, page: flow.Page, form: Any) -> HttpResponse:
        context = self.get_context_data(page=page, form=form, phone_hint=self.signup_required.redeemed.phone.hint)
        return self.rendered(page, context)

    def _start_again(self) -> HttpResponse:
        query = f"?{urlencode({'next': self.next})}" if self.next else ""
        return HttpResponseRedirect(self.urls["login"] + query)


def _add(form: forms.BaseForm, error: ValidationError) -> None:
    """Show at each field what the user model said of it, and the rest above the form."""
    told: Mapping[str, Iterable[Any]] = error.error_dict if hasattr(error, "error_dict") else {"": error.error_list}
    for name, errors in told.items():
        form.add_error(name if name in form.fields else None, list(errors))
