"""What every provider's protocol is made of, and what one request to it may do.

A protocol module holds one `Provider` value: its routes, the errors it can be told to answer with, its dialects, and
how it phrases a refusal. A handler is a plain function from a `Visit` to an `Answer`; it raises `RefusedError` with the
name of one of the provider's errors. Delays, silence and broken JSON are done for it afterwards.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from werkzeug.wrappers import Request

from phone_verify.sandbox.faults import NO_FAULT, Fault, Faults
from phone_verify.sandbox.network import Channel, Dispatch, Held, Network, Wait

#: Credentials with a meaning, so that errors can be tried by configuration alone. All others are welcome.
WRONG, EXPIRED, INACTIVE, NO_CREDIT, MISSING = "WRONG", "EXPIRED", "INACTIVE", "NO-CREDIT", ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over the wire: JSON of `body`, or `body` itself when it is text."""

    body: object
    status: int = 200
    content_type: str = "application/json; charset=utf-8"

    @property
    def text(self) -> str:
        """The body as it is written."""
        return self.body if isinstance(self.body, str) else json.dumps(self.body)


class RefusedError(Exception):
    """The provider refuses; `name` is one of its `refusals`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class UnreadableError(Exception):
    """The body of the request is not what its type says."""


class Visit:
    """One request to a provider, and all that it may do to the network."""

    def __init__(
        self,
        provider: "Provider",
        request: Request,
        path: Mapping[str, str],
        network: Network,
        faults: Faults,
    ) -> None:
        self.provider = provider
        self.request = request
        self.path = path
        self.network = network
        self.fault: Fault = NO_FAULT
        #: Every parameter that was read so far.
        self.params: dict[str, object] = dict(request.args.items())
        #: What it asked a phone to call.
        self.waits: list[Wait] = []
        #: The URLs to ask when it is over, to tell how a message fared.
        self.reports: list[str] = []
        self._faults = faults

    def admit(self, credential: object) -> None:
        """Refuse the credentials that stand for trouble, and what is no credential at all."""
        known = credential if isinstance(credential, str) else MISSING
        if (refusal := self.provider.credentials.get(known)) is not None:
            raise RefusedError(refusal)

    def meet(self, phone: str | None) -> Fault:
        """Learn what goes wrong with this request, which concerns `phone` or none in particular."""
        self.fault = self._faults.take(self.provider.name, phone)
        if self.fault.refuse is not None:
            raise RefusedError(self.fault.refuse)
        return self.fault

    def variant(self, name: str) -> str:
        """Return the dialect that is switched on for `name`, the usual one if none is."""
        return self.fault.variants.get(name, self.provider.variants[name][0])

    def draw_digits(self, length: int) -> str:
        """Draw a code of the provider's own making."""
        if self.variant("digits") == "leading_zero":
            return "0" + self._draw(length - 1)
        return self._draw(length)

    def send_message(
        self, phone: str, *, channel: Channel, sender: str, text: str, code: str, reachable: bool = True
    ) -> Dispatch:
        """Send a text, as often as the fault lets it arrive."""
        return self.network.send_message(
            phone,
            provider=self.provider.name,
            channel=channel,
            sender=sender,
            text=text,
            code=code,
            copies=self.fault.copies if reachable else 0,
        )

    def place_call(
        self,
        phone: str,
        *,
        number: str,
        code: str,
        settles_after: timedelta = timedelta(0),
        reachable: bool = True,
    ) -> Dispatch:
        """Ring a phone, as often as the fault lets it."""
        return self.network.place_call(
            phone,
            provider=self.provider.name,
            number=number,
            code=code,
            copies=self.fault.copies if reachable else 0,
            hidden=self.fault.hidden_caller,
            caller=self.fault.foreign_caller,
            settles_after=settles_after,
        )

    def open_wait(self, phone: str, *, life: timedelta, webhook: str | None, held: Held | None = None) -> Wait:
        """Wait for a phone to call one of the provider's lines; then send what is held back for it."""
        lines = self.provider.lines_in(self.network)
        wait = self.network.open_wait(
            phone,
            provider=self.provider.name,
            lines=lines[:1] if self.variant("line") == "same" else lines,
            life=life,
            webhook=webhook,
            held=held,
        )
        self.waits.append(wait)
        return wait

    def json_object(self) -> dict[str, object]:
        """Read the body as a JSON object. Raises UnreadableError if it is none."""
        try:
            value = json.loads(self.request.get_data())
        except (ValueError, RecursionError) as error:
            raise UnreadableError("the body is not JSON") from error
        if not isinstance(value, dict):
            raise UnreadableError("the body is not a JSON object")
        self.params.update(value)
        return value

    def fields(self) -> dict[str, object]:
        """Read the query, and over it the body, as JSON or as a form. Raises UnreadableError."""
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
    """One call of a provider's API. Unless `exact_slash`, a slash at the end may be there or not."""

    method: str
    path: str
    handler: Callable[[Visit], Answer]
    exact_slash: bool = False


def _no_hook(wait: Wait, fault: Fault) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider's protocol."""

    name: str
    title: str
    routes: tuple[Route, ...]
    #: Names of the errors it can be told to answer with.
    refusals: tuple[str, ...]
    #: Turns one of them into an answer.
    refuse: Callable[[Visit, str], Answer]
    #: The refusal for an unreadable body.
    unreadable: str
    #: The refusals that the credentials with a meaning get.
    credentials: Mapping[str, str]
    #: Parameters, in lower case, whose values are never kept.
    secrets: frozenset[str]
    #: Its dialects: a name and the choices, the usual one first.
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Numbers, in E.164, that it has users call.
    lines: tuple[str, ...] = ()
    #: The URL to ask when a call came for this wait, while this fault is on; None for no webhook.
    hook_url: Callable[[Wait, Fault], str | None] = _no_hook
    #: Whether its cabinet has a URL for what it tells by itself, beside what a start may name.
    webhook_in_cabinet: bool = False

    def lines_in(self, network: Network) -> tuple[str, ...]:
        """Return the numbers that it has users call in this network."""
        return network.lines().get(self.name, self.lines)
