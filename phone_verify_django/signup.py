"""The sign-up page: a new user fills in the site's own form after verifying the number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase

from phone_verify.web import flow
from phone_verify.web.messages import Message

from . import accounts, app_settings, pending_signup, sessions
from .app_settings import load
from .forms import kept
from .views import PageView

#: Widgets without the text box of the style sheet.
_NO_BOX = (forms.CheckboxInput, forms.RadioSelect, forms.CheckboxSelectMultiple, forms.HiddenInput, forms.FileInput)


class SignUpView(PageView):
    """Fill in the form named by `PHONE_VERIFY["signup_form"]`; then create the user and sign in.

    The form is the site's own: a `Form`, or a `ModelForm` of the user model. Its cleaned data is
    passed to `Accounts.make`. If the pending sign-up has expired, or the number belongs to another
    user by now, the visitor starts again.
    """

    template_name = "phone_verify/signup.html"
    #: Limit of a form with files in bytes; only users with a verified number can send one.
    max_upload_size = 10 * 1024 * 1024
    path = "signup/"
    #: The verified number of the pending sign-up; set by `dispatch`.
    pending: pending_signup.PendingSignup

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Serve the form if a sign-up is pending; otherwise redirect to the login page."""
        pending = pending_signup.load(request)
        if pending is None:
            pending_signup.forget(request)
            return self._start_again()
        self.pending = pending
        return super().dispatch(request, *args, **kwargs)

    def takes_files(self) -> bool:
        """Return whether a sign-up is pending and the site's form has a file field."""
        return pending_signup.load(self.request) is not None and bool(self.get_form().is_multipart())

    def refused_form(self) -> HttpResponse | None:
        """Return the response to a form that must not be read, or None."""
        if self.request.content_type == "multipart/form-data" and self.takes_files():
            self.max_form_size = self.max_upload_size
        return super().refused_form()

    def get(self, request: HttpRequest) -> HttpResponse:
        """Render the form, as it was posted if it had errors."""
        message = self.take_message()
        error = message.error if message is not None else ""
        page = flow.Page(texts=self.call.texts, next=self.next, error=error)
        form = self.restored_form(message)
        return self.render_page(page, form, phone_hint=self.pending.redeemed.phone.hint)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Create the user and sign in."""
        form, redeemed = self.get_form(data=request.POST), self.pending.redeemed
        if not form.is_valid():
            return self._again(form)
        try:
            account = accounts.sign_up(
                request,
                redeemed,
                form.cleaned_data,
                remember=self.pending.remember,
                next_url=self.next_after_steps,
            )
        except accounts.MfaRequiredError as error:
            return self.further_step(error)
        except ValidationError as error:
            _add(form, error)
            return self._again(form)
        if account is not None:
            return self.complete_login(redeemed)
        if not accounts.is_new(redeemed):
            pending_signup.forget(request)
            return self._start_again()
        return self._again(form, self.call.texts.page["login_refused"])

    def get_form_class(self) -> Any:
        """Return the view's own `form_class`, or the class named in the settings."""
        named = self.form_class or load(app_settings.account_settings().signup_form)
        if named is None:
            raise ImproperlyConfigured("PHONE_VERIFY['signup_form'] is not set: set it to the form class of new users")
        return named

    def get_form(self, page: flow.Page | None = None, data: QueryDict | None = None) -> Any:
        """Return the form, bound to `data` and the posted files if given."""
        files = self.request.FILES if data is not None else None
        form = self.get_form_class()(data, files, **self.get_form_kwargs())
        for field in form.fields.values():
            if not isinstance(field.widget, _NO_BOX):
                field.widget.attrs.setdefault("class", "pv-input")
        return form

    def _again(self, form: forms.BaseForm, error: str = "") -> HttpResponse:
        """Return to the page, which shows the form with its errors. Files are chosen again."""
        sessions.messages(self.request).keep(Message("signup", error=error, form=kept(form)))
        return self.to_response(flow.Redirect("signup", self.next))

    def _start_again(self) -> HttpResponse:
        query = f"?{urlencode({'next': self.next})}" if self.next else ""
        return HttpResponseRedirect(self.urls["login"] + query)


def _add(form: forms.BaseForm, error: ValidationError) -> None:
    """Add the errors of the user model to their fields, and other errors to the form."""
    errors_of: Mapping[str, Iterable[Any]] = (
        error.error_dict if hasattr(error, "error_dict") else {"": error.error_list}
    )
    for name, errors in errors_of.items():
        form.add_error(name if name in form.fields else None, list(errors))
