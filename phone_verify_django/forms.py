"""The forms of the pages, for templates that render whole forms: plain, with crispy, or in the site's own way.

The core validates numbers and codes; these forms pass on the typed text. A subclass can add fields
and rules, or build the number from several fields (`clean_phone`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.forms.utils import ErrorDict
from django.http import QueryDict

from phone_verify.i18n.texts import Texts
from phone_verify.web.messages import LONGEST_ERROR
from phone_verify.web.pages import CodePage, LoginPage, Page

#: A session can be a cookie, which holds 4 KB.
_LONGEST_KEPT = 1500


class AsTyped(forms.CharField):
    """A text as typed: the core validates it and reports errors in the visitor's language."""

    def clean(self, value: Any) -> str:
        """Return the text without surrounding spaces."""
        return self.to_python(value) or ""


class PageForm(forms.Form):
    """Base class of our forms, with the texts of the page and the field `next`.

    `page` is the page that the core shows; None while posted data is read.
    """

    #: The field to which errors of the core are attached.
    main_field: ClassVar[str] = ""

    next = AsTyped(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, texts: Texts, page: Page | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.texts, self.page = texts, page
        if page is not None:
            self.initial.setdefault("next", page.next)

    def label(self, **labels: str) -> None:
        """Set the labels of these fields, except those that a subclass has removed."""
        for name in labels.keys() & self.fields.keys():
            self.fields[name].label = labels[name]


class PhoneForm(PageForm):
    """A number, and a channel if several are available."""

    main_field = "phone"

    phone = AsTyped(
        widget=forms.TextInput(
            attrs={"type": "tel", "inputmode": "tel", "autocomplete": "tel", "dir": "ltr", "autofocus": True}
        )
    )
    channel = AsTyped(required=False, widget=forms.RadioSelect)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        text, page = self.texts.page, self.page
        self.label(phone=text["phone"], channel=text["way"])
        if not isinstance(page, LoginPage):
            return
        self.initial.setdefault("phone", page.phone)
        if "phone" in self.fields:
            self.fields["phone"].widget.attrs["placeholder"] = page.number.example
            how = text["phone_example" if page.number.local else "phone_help"]
            self.fields["phone"].help_text = f"{how} {page.number.example}"
        if "channel" in self.fields and page.several:
            self.fields["channel"].widget.choices = [(choice.value, choice.label) for choice in page.choices]
            self.initial.setdefault("channel", next((c.value for c in page.choices if c.chosen), ""))
        else:
            self.fields.pop("channel", None)


class CodeForm(PageForm):
    """A code, and at sign-in whether to stay signed in on this device."""

    main_field = "code"

    code = AsTyped(
        widget=forms.TextInput(
            attrs={
                "inputmode": "numeric",
                "autocomplete": "one-time-code",
                "autocapitalize": "off",
                "spellcheck": "false",
                "dir": "ltr",
                "autofocus": True,
            }
        )
    )
    asks_remember = AsTyped(required=False, initial="1", widget=forms.HiddenInput)
    remember = forms.BooleanField(required=False, initial=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        text, page = self.texts.page, self.page
        self.label(code=page.code_label if isinstance(page, CodePage) else text["code"], remember=text["remember"])
        if isinstance(page, CodePage) and not page.asks_remember:
            self.fields.pop("asks_remember", None)
            self.fields.pop("remember", None)


def kept(form: forms.BaseForm) -> dict[str, Any]:
    """Return a posted form for the session, without passwords and codes: what was typed, and the errors."""
    data = cast("QueryDict", form.data).copy()
    secret = [form.add_prefix(name) for name, field in form.fields.items() if name == "code" or _is_password(field)]
    for name in ["csrfmiddlewaretoken", *(name for name in data if name.startswith(tuple(secret)))]:
        data.pop(name, None)
    text = data.urlencode()
    return {
        "data": text if len(text) <= _LONGEST_KEPT else "",
        "errors": {name: [str(error)[:LONGEST_ERROR] for error in errors] for name, errors in form.errors.items()},
    }


def restored(kept: Mapping[str, Any], make: Callable[[QueryDict], Any]) -> Any:
    """Return the form that `make` returns for the kept data, with the kept errors: it is not validated again."""
    form = make(QueryDict(kept["data"]))
    form._errors = ErrorDict(
        {
            name: form.error_class(errors, error_class="nonfield" if name == NON_FIELD_ERRORS else None)
            for name, errors in kept["errors"].items()
        }
    )
    return form


def _is_password(field: forms.Field) -> bool:
    return isinstance(field.widget, forms.PasswordInput)
