"""The API reference: which names are public, and the pages that mkdocstrings fills with their docstrings.

A name that moves or is renamed is changed in `PAGES` and nowhere else. A name that does not exist, or has no
docstring, stops the build.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import griffe

#: Base classes without an entry of their own: their methods are shown with those of the subclass.
_SHOWN_WITH_SUBCLASS = {"ServerOperations"}
#: Instead of a list of names: those of the module's `__all__`.
ALL: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its title, a sentence, and the public names of each module, in their order on the page."""

    title: str
    text: str
    names: Mapping[str, Sequence[str]]


PAGES: Mapping[str, Page] = {
    "core": Page(
        "phone_verify",
        "The core: everything that works without a web framework.",
        {
            "phone_verify": ALL,
            "phone_verify.model": ("Redeemed", "Assurance", "Cause", "DeliveryReport", "DeliveryState"),
            "phone_verify.errors": ("UnclearError", "FailureKind"),
            "phone_verify.events.record": ("VerificationEvent",),
        },
    ),
    "http": Page(
        "phone_verify.api",
        "The JSON API as functions from value to value, for an adapter to another framework.",
        {
            "phone_verify.api": (
                "handle",
                "ahandle",
                "ApiRequest",
                "ApiResponse",
                "ApiStream",
                "SignIn",
                "SetPhone",
                "SignOut",
                "Site",
            )
        },
    ),
    "testing": Page(
        "phone_verify.testing",
        "Tests of a site, of a driver and of a store. See [Test your site](../testing.md).",
        {
            "phone_verify.testing.plugin": ("phone_outbox", "phone_sandbox"),
            "phone_verify.testing.outbox": ("Outbox", "SentMessage"),
            "phone_verify.testing.handsets": ("PhoneSandbox", "Handset"),
            "phone_verify.testing.clock": ("ManualClock",),
            "phone_verify.testing.transport": ("FakeTransport",),
            "phone_verify.testing.drivers": ("DriverSuite",),
            "phone_verify.testing.stores": ("StoreSuite",),
        },
    ),
    "drivers": Page(
        "phone_verify.drivers",
        "What a driver is made of. See [Add a provider](../adding_a_provider.md).",
        {
            "phone_verify.drivers.base": (
                "Driver",
                "NationalDriver",
                "Ability",
                "Starts",
                "Retries",
                "Polls",
                "ReadsWebhooks",
                "OrderQuestion",
                "ChecksRemotely",
                "SendsNotices",
                "TakesUserTokens",
                "ReportsDelivery",
                "ReportsAccount",
            ),
            "phone_verify.drivers.kinds.json_api": ("JsonDriver", "Fault", "by_kind", "code_of"),
            "phone_verify.drivers.kinds.remote_code": ("RemoteCodeDriver",),
            "phone_verify.drivers.kinds.template_sms": ("TemplateDriver",),
            "phone_verify.drivers.kinds.told_code": ("told_code",),
            "phone_verify.drivers.kinds.inbound_call": ("line_to_call", "line_without_reference"),
            "phone_verify.drivers.options": ("Option", "Dsn"),
            "phone_verify.model": ("Order", "Receipt", "Sighting", "IncomingCall", "ProviderAccount"),
            "phone_verify.exchange": (
                "HttpRequest",
                "HttpResponse",
                "Notice",
                "WebhookRequest",
                "WebhookReply",
                "Rejected",
                "cached_token",
            ),
        },
    ),
    "django": Page(
        "phone_verify_django",
        "Views, decorators, signals and accounts for Django. See [Django](../django.md).",
        {
            "phone_verify_django.accounts": ALL,
            "phone_verify_django.decorators": ("phone_verified_required", "recent_phone_check_required"),
            "phone_verify_django.mixins": ("PhoneVerifiedRequiredMixin", "RecentPhoneCheckRequiredMixin"),
            "phone_verify_django.signals": (
                "phone_verified",
                "phone_changed",
                "phone_lost",
                "verification_failed",
                "verification_locked",
                "delivery_failed",
            ),
            "phone_verify_django.forms": ("PhoneForm", "CodeForm"),
            "phone_verify_django.formfields": ("PhoneField",),
            "phone_verify_django.views": ("PageView", "LoginView", "CodeView", "VerifyView", "LogoutView"),
            "phone_verify_django.backends": ("PhoneBackend",),
            "phone_verify_django.middleware": ("PhoneSessionMiddleware",),
            "phone_verify_django.models": ("VerifiedPhone",),
            "phone_verify_django.otp.models": ("PhoneDevice", "ChallengeError"),
            "phone_verify_django.otp.middleware": ("PhoneFactorMiddleware",),
            "phone_verify_django.allauth.adapter": ("PhoneVerifyAccountAdapter",),
            "phone_verify_django.drf": ("ExchangeView",),
        },
    ),
    "flask": Page(
        "phone_verify_flask",
        "The extension for Flask. See [Flask](../flask.md).",
        {
            "phone_verify_flask": ALL,
            "phone_verify_flask.asgi": ("asgi_app",),
            "phone_verify_flask.forms": ("PhoneForm", "CodeForm"),
            "phone_verify_flask.signals": ("phone_verified", "phone_changed", "delivery_failed"),
            "phone_verify_flask.flask_security": ("PhoneSender", "PhoneTotp"),
        },
    ),
}


def pages() -> Iterator[tuple[str, str]]:
    """Return the path and the Markdown of every page, the index among them."""
    found = {name: list(_names(page)) for name, page in PAGES.items()}
    yield "api/index.md", _index(found)
    for name, page in PAGES.items():
        yield f"api/{name}.md", _page(page, found[name])


@dataclass(frozen=True, slots=True)
class _Name:
    """A public name: where it is imported from, and what it is."""

    module: str
    name: str
    thing: griffe.Object

    @property
    def path(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def summary(self) -> str:
        docstring = self.thing.docstring
        if docstring is None:
            raise ValueError(f"{self.path} is public and has no docstring")
        return " ".join(docstring.value.split("\n\n")[0].split())


def _names(page: Page) -> Iterator[_Name]:
    for module, names in page.names.items():
        home = _module(module)
        for name in names or home.exports or ():
            member = home[str(name)]
            yield _Name(module, str(name), member.final_target if member.is_alias else member)


_LOADED = griffe.GriffeLoader(
    extensions=griffe.load_extensions("griffe_sphinx"), search_paths=["."], allow_inspection=False
)


def _module(path: str) -> griffe.Object | griffe.Alias:
    package = path.partition(".")[0]
    if package not in _LOADED.modules_collection:
        _LOADED.load(package)
        _LOADED.resolve_aliases(implicit=True)
    module: griffe.Object | griffe.Alias = _LOADED.modules_collection[path]
    return module


def _index(found: Mapping[str, Sequence[_Name]]) -> str:
    lines = [
        "# API reference",
        "",
        "The public names. Import each from the module in its heading. Other names may change without notice.",
    ]
    for page, names in found.items():
        lines += ["", f"## {PAGES[page].title}", "", PAGES[page].text, ""]
        lines += [f"- [`{name.name}`]({page}.md#{name.path}): {name.summary}" for name in names]
    return "\n".join(lines) + "\n"


def _page(page: Page, names: Sequence[_Name]) -> str:
    # Of two pages with a word, the guide or table is the better answer to a search.
    lines = ["---", "search: { boost: 0.5 }", "---", "", f"# {page.title}", "", page.text]
    module = ""
    for name in names:
        if name.module != module:
            module = name.module
            lines += ["", f"## {module}"] if len(page.names) > 1 else []
        lines += ["", f"::: {name.path}", *_options(name.thing)]
    return "\n".join(lines) + "\n"


def _options(thing: griffe.Object) -> Sequence[str]:
    if not isinstance(thing, griffe.Class):
        return []
    if any(str(base).endswith("Enum") for base in thing.bases):
        # The members of an enumeration are its values, documented or not.
        return ["    options:", "      show_if_no_docstring: true", "      separate_signature: false"]
    own = [name for name, member in thing.members.items() if member.is_function and not name.startswith("_")]
    if thing.bases and (not own or _SHOWN_WITH_SUBCLASS & {str(base) for base in thing.bases}):
        return ["    options:", "      inherited_members: true"]
    return []
