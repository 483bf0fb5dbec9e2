"""The building blocks of provider protocols, and the operations of a request.

A protocol module holds one `Provider` value: its routes, the errors it can be set to return, its
response formats, and how it words a refusal. A handler is a plain function from a `Visit` to an
`Answer`; it raises `RefusedError` with the name of one of the provider's errors. Delays, hangs and
malformed JSON are applied afterwards.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

from werkzeug.wrappers import Request

from phone_verify.sandbox.faults import NO_FAULT, Fault, Faults
from phone_verify.sandbox.network import Network
from phone_verify.sandbox.phones import Channel, Dispatch, Held, Wait
from phone_verify.sandbox.webhooks import Forgery, Hook, Reply

#: Credentials with a meaning, so that errors can be tested by configuration alone. All others are
#: accepted.
WRONG, EXPIRED, INACTIVE, NO_CREDIT, MISSING = "WRONG", "EXPIRED", "INACTIVE", "NO-CREDIT", ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The response: JSON of `body`, or `body` itself if it is text."""

    body: object
    status: int = 200
    content_type: str = "application/json; charset=utf-8"
    #: Further headers, such as `Retry-After`.
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def text(self) -> str:
        """Return the serialised body."""
        return self.body if isinstance(self.body, str) else json.dumps(self.body)


class RefusedError(Exception):
    """The provider refuses; `name` is one of its `refusals`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class UnreadableError(Exception):
    """The body of the request does not match its content type."""


def _no_site(hook: Hook, forgery: Forgery | None) -> Reply | None:
    return None


class Visit:
    """One request to a provider, and its operations on the network."""

    def __init__(
        self,
        provider: "Provider",
        request: Request,
        path: Mapping[str, str],
        network: Network,
        faults: Faults,
        ask_site: Callable[[Hook, Forgery | None], Reply | None] = _no_site,
    ) -> None:
        self.provider = provider
        self.request = request
        self.path = path
        self.network = network
        self.fault: Fault = NO_FAULT
        #: Every parameter read so far.
        self.params: dict[str, object] = dict(request.args.items())
        #: The calls that it asked phones to make.
        self.waits: list[Wait] = []
        #: The webhooks to send afterwards.
        self.reports: list[Hook] = []
        #: What makes further webhooks, and after how many seconds.
        self.later_reports: list[tuple[float, Callable[[], Hook | None]]] = []
        self._faults = faults
        self._ask_site = ask_site

    def admit(self, credential: object) -> None:
        """Reject the special credentials, and values that are not credentials."""
        known = credential if isinstance(credential, str) else MISSING
        if (refusal := self.provider.credentials.get(known)) is not None:
            raise RefusedError(refusal)

    def basic(self) -> tuple[str, str]:
        """Return the user and the password of Basic authentication; both empty without it."""
        given = self.request.authorization
        if given is None or given.type != "basic":
            return MISSING, MISSING
        return given.username or MISSING, given.password or MISSING

    def scheme(self, name: str) -> str:
        """Return the credential of the `Authorization` header after `name`, such as `Bearer`."""
        written, _, credential = self.request.headers.get("Authorization", "").partition(" ")
        return credential.strip() if written.lower() == name.lower() else MISSING

    def report(self, hook: Hook) -> None:
        """Send a webhook after the response, as many times as the fault delivers it, at least once:
        a lost message is reported too.
        """
        self.reports.extend([hook] * max(1, self.fault.copies))

    def report_later(self, delay: timedelta, make: Callable[[], Hook | None]) -> None:
        """Send the webhook that `make` returns after this delay, if it returns one."""
        self.later_reports.append((delay.total_seconds(), make))

    def ask(self, hook: Hook) -> Reply | None:
        """Send a webhook now, and return the site's response; None without one."""
        return self._ask_site(hook, self.fault.webhook_signature)

    def meet(self, phone: str | None) -> Fault:
        """Look up the fault for this request, which concerns `phone` or no particular phone."""
        self.fault = self._faults.take(self.provider.name, phone)
        if self.fault.refuse is not None:
            raise RefusedError(self.fault.refuse)
        return self.fault

    def variant(self, name: str) -> str:
        """Return the active variant of `name`, or its default."""
        return self.fault.variants.get(name, self.provider.variants[name][0])

    def draw_digits(self, length: int) -> str:
        """Draw a code generated by the provider."""
        if self.variant("digits") == "leading_zero":
            return "0" + self._draw(length - 1)
        return self._draw(length)

    def send_message(
        self,
        phone: str,
        *,
        channel: Channel,
        sender: str,
        text: str,
        code: str,
        reachable: bool = True,
        details: Mapping[str, str] = MappingProxyType({}),
    ) -> Dispatch:
        """Send a text, as many times as the fault delivers it. `details` stay with the dispatch."""
        return self.network.send_message(
            phone,
            provider=self.provider.name,
            channel=channel,
            sender=sender,
            text=text,
            code=code,
            copies=self.fault.copies if reachable else 0,
            details=details,
        )

    def place_call(
        self,
        phone: str,
        *,
        number: str,
        code: str,
        settles_after: timedelta = timedelta(0),
        reachable: bool = True,
        spoken: str = "",
        language: str = "",
        details: Mapping[str, str] = MappingProxyType({}),
    ) -> Dispatch:
        """Ring a phone, as many times as the fault delivers it; with a `spoken` text it is a voice
        call. `details` stay with the dispatch.
        """
        return self.network.place_call(
            phone,
            provider=self.provider.name,
            number=number,
            code=code,
            copies=self.fault.copies if reachable else 0,
            hidden=self.fault.hidden_caller,
            caller=self.fault.foreign_caller,
            settles_after=settles_after,
            spoken=spoken,
            language=language,
            details=details,
        )

    def open_wait(
        self,
        phone: str,
        *,
        ttl: timedelta,
        webhook: str | None,
        held: Held | None = None,
        webhook_key: str = "",
        any_line: bool = False,
    ) -> Wait:
        """Wait for a phone to call one of the provider's lines, or any of them; then send the text
        held back for it.
        """
        lines = self.provider.lines_in(self.network)
        wait = self.network.open_wait(
            phone,
            provider=self.provider.name,
            lines=lines[:1] if self.variant("line") == "same" else lines,
            ttl=ttl,
            webhook=webhook,
            held=held,
            webhook_key=webhook_key,
            also=lines if any_line else (),
        )
        self.waits.append(wait)
        return wait

    def json_object(self) -> dict[str, object]:
        """Parse the body as a JSON object. Raises UnreadableError if it is not one."""
        try:
            value = json.loads(self.request.get_data())
        except (ValueError, RecursionError) as error:
            raise UnreadableError("the body is not JSON") from error
        if not isinstance(value, dict):
            raise UnreadableError("the body is not a JSON object")
        self.params.update(value)
        return value

    def fields(self) -> dict[str, object]:
        """Read the query, and the body as JSON or as a form, which takes precedence. Raises
        UnreadableError.
        """
        if self.request.method == "POST":
            if self.request.is_json:
                self.json_object()
            else:
                self.params.update(self.request.form.items())
        return self.params

    def _draw(self, length: int) -> str:
        return "".join(self.network.chance.choices("0123456789", k=length))


@dataclass(frozen=True, slots=True)
class Route:
    """One call of a provider's API. Unless `exact_slash`, a trailing slash is optional."""

    method: str
    path: str
    handler: Callable[[Visit], Answer]
    exact_slash: bool = False


def _no_hook(wait: Wait, fault: Fault) -> Hook | None:
    return None


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider's protocol."""

    name: str
    title: str
    routes: tuple[Route, ...]
    #: Names of the errors it can be set to return.
    refusals: tuple[str, ...]
    #: Turns one of them into a response.
    refuse: Callable[[Visit, str], Answer]
    #: The refusal for an unparsable body.
    unreadable: str
    #: The refusals for the special credentials.
    credentials: Mapping[str, str]
    #: Parameters, in lower case, whose values are never kept.
    secrets: frozenset[str]
    #: Its response formats: a name and the choices, the default first.
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Numbers, in E.164, that it asks users to call.
    lines: tuple[str, ...] = ()
    #: The webhook to send after a call for this wait, while this fault is active, or None.
    hook: Callable[[Wait, Fault], Hook | None] = _no_hook
    #: Whether its account has a webhook URL, in addition to one given in a start.
    webhook_in_cabinet: bool = False
    #: The keys for signatures that its account shows, the same in every sandbox.
    keys: Mapping[str, str] = field(default_factory=dict)

    def lines_in(self, network: Network) -> tuple[str, ...]:
        """Return the numbers that it asks users to call in this network."""
        return network.lines().get(self.name, self.lines)
