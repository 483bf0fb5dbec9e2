"""The site's own decision before anything is sent: a captcha, device attestation, a list of numbers.

The hook is called once for each order, after the order has counted for the client's address and
before it counts for the phone, its prefix and the site. A hook that fails or takes too long refuses the order.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from inspect import isawaitable, iscoroutinefunction
from typing import Any, Literal, TypeAlias

from .errors import PhoneVerifyError, place_of
from .model import Channel
from .phone import PhoneNumber
from .sync import ends_the_caller, limited, run_in_loop, without_waiting_for_threads

log = logging.getLogger("phone_verify")

#: The time limit of a hook, as of a provider's answer. A plain function in a blocking site or on a page
#: has none: it runs in the thread of the request.
HOOK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class SendOrder:
    """What is about to be sent.

    `channel` is the first that will be tried: another one can follow if it cannot serve the phone.
    `locale` is the language of the message, None for the site's. `by_client` is whether a visitor
    triggered the order rather than your code.
    """

    phone: PhoneNumber
    purpose: str
    channel: Channel
    is_resend: bool = False
    locale: str | None = None
    signed_in: bool = False
    trusted_device: bool = False
    by_client: bool = False


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """The request that triggered an order, as far as it is known.

    `address` is the client's whole address; `headers` are those of the request, with names in lower
    case and without cookies and credentials. `extra` holds the fields of the form or of the body
    that are not ours, like the answer to a captcha.

    `access_key` is the id of the access key with which another program made the request; empty for a
    visitor's.

    `page_host` and `top_host` are for the last line of an SMS: the host of the page with the code
    field if it is not the site's, and that of the page that shows it in a frame.
    """

    address: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)
    page_host: str | None = None
    top_host: str | None = None
    access_key: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The hook's refusal. `text` is shown to the visitor; without it, a general one in their language.

    `field` names what is at fault, if that is the number or the further fields.
    """

    text: str = ""
    field: Literal["phone", "extra"] | None = None


Hook: TypeAlias = Callable[[SendOrder, ClientFacts], "Refusal | Awaitable[Refusal | None] | None"]


class HookError(PhoneVerifyError):
    """The hook failed: nothing is sent. The message contains no value of the order or the request."""


@dataclass(frozen=True, slots=True)
class BeforeSend:
    """The hook of a site, and how it is run.

    `find` returns the hook, or None without one: some frameworks register it after start-up. With
    `in_thread` the verifier is async: a plain function then runs in a thread. Without it the hook runs
    in the thread of the caller, and `run` completes the coroutine of an async one.
    """

    find: Callable[[], Hook | None] = lambda: None
    in_thread: Callable[[Callable[[], Any]], Awaitable[Any]] | None = None
    run: Callable[[Coroutine[Any, Any, Any]], Any] = run_in_loop

    @property
    def is_set(self) -> bool:
        """Whether the site has a hook."""
        return self.find() is not None

    async def refusal(self, order: SendOrder, client: ClientFacts) -> Refusal | None:
        """Return the hook's refusal, or None if it lets the order pass. Raises `HookError`."""
        hook = self.find()
        if hook is None:
            return None
        try:
            decision = await self._called(hook, order, client)
            if isinstance(decision, Refusal):
                decision = replace(decision, text=_plain(decision.text))
        except TimeoutError:
            log.error("before_send did not answer in time, so nothing was sent")
            raise HookError("before_send did not answer in time") from None
        except BaseException as error:
            # Time-outs of gevent and panics of Rust extensions are not an `Exception` either.
            if ends_the_caller(error):
                raise
            # Its message can contain what the visitor has sent.
            log.error("before_send raised %s, so nothing was sent%s", type(error).__name__, place_of(error))
            raise HookError(f"before_send raised {type(error).__name__}") from None
        if decision is not None and not isinstance(decision, Refusal):
            kind = type(decision).__name__
            log.error("before_send returned %s, so nothing was sent: return None or a Refusal", kind)
            raise HookError(f"before_send returned {kind}")
        if decision is not None and decision.field not in (None, "phone", "extra"):
            log.error("before_send returned a Refusal of an unknown field, so nothing was sent: use phone or extra")
            raise HookError("before_send returned a Refusal of an unknown field")
        return decision

    async def _called(self, hook: Hook, order: SendOrder, client: ClientFacts) -> object:
        if self.in_thread is None:
            decision = hook(order, client)
            if not isawaitable(decision):
                return decision
            return self.run(without_waiting_for_threads(limited(decision, HOOK_SECONDS)))
        return await limited(self._off_the_loop(hook, order, client), HOOK_SECONDS)

    async def _off_the_loop(self, hook: Hook, order: SendOrder, client: ClientFacts) -> object:
        if self.in_thread is None or iscoroutinefunction(hook):
            decision: object = hook(order, client)
        else:
            decision = await self.in_thread(lambda: hook(order, client))
        return await decision if isawaitable(decision) else decision


def _plain(text: object) -> str:
    """Return the text of a refusal, which may be a lazy translation. Raises if it cannot be shown."""
    plain = "" if text is None else str(text).strip()
    plain.encode()  # lone surrogates, which JSON can contain
    return plain
