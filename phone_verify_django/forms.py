"""The forms of the pages, for templates that show forms and not single fields: plain, by crispy, or the site's own.

What a number and a code must be is decided in the core. These forms take what was typed; a subclass may add fields
and rules of its own, or put the number together from several (`clean_phone`).
"""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms

from phone_verify.i18n.texts import Texts
from phone_verify.web.pages import CodePage, LoginPage, Page


class AsTyped(forms.CharField):
    """Takes a text as it was typed: the core judges it, and says so in the visitor's language."""

    def clean(self, value: Any) -> str:
        """The text, without the spaces around it."""
        return self.to_python(value) or ""


class PageForm(forms.Form):
    """What every form of ours has: the texts of the page, and where the visitor wanted to go.

    `page` is what the core shows, None while an answer to it is being read.
    """

    #: The field that the page is about: what the core says of it stands there.
    main_field: ClassVar[str] = ""

    next = AsTyped(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, texts: Texts, page: Page | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.texts, self.page = texts, page
        if page is not None:
            self.initial.setdefault("next", page.next)

    def label(self, **labels: str) -> None:
        """Name these fields, as far as a subclass has kept them."""
        for name in labels.keys() & self.fields.keys():
            self.fields[name].label = labels[name]


class PhoneForm(PageForm):
    """A number, and where there are several ways to check it, the way."""

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
    """A code, and on the way in whether to stay signed in on this device."""

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
        rings = isinstance(page, CodePage) and page.kind == "flash_call"
        self.label(code=text["last_digits" if rings else "code"], remember=text["remember"])
        if isinstance(page, CodePage) and not page.asks_remember:
            self.fields.pop("asks_remember", None)
            self.fields.pop("remember", None)
