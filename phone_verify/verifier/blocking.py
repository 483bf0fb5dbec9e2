"""The blocking verifier: the operations of `AsyncVerifier`, run to their end without an event loop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Self, TypeVar

from ..before_send import ClientFacts
from ..drivers.base import Starts
from ..exchange import WebhookRequest, WebhookResult
from ..model import Channel, DeliveryReport, Outcome, Redeemed, Started, Verification
from ..parts import Components
from ..phone import PhoneNumber
from ..policy import Policy
from ..routing.explanation import ChannelRoute
from ..sync import run
from .operations import AsyncVerifier

if TYPE_CHECKING:
    from ..fraud.guard import FraudExplanation
    from ..ledger.providers import Balance
    from ..ledger.service import ServiceLedger

V = TypeVar("V", bound="Verifier")


class Verifier:
    """Verifies phone numbers in blocking applications, like Django and Flask under WSGI.

    Thread-safe; create one and reuse it. Every method that uses the store raises `StoreError` if
    the store is unavailable, unless stated otherwise. The longer descriptions are in
    `AsyncVerifier`.
    """

    def __init__(self, parts: Components) -> None:
        flows = AsyncVerifier(parts)
        self._current: Callable[[], AsyncVerifier] = lambda: flows

    def for_service(self, name: str) -> Self:
        """Return the verifier of the service with this name; changes of the service take effect in it.

        Raises `LookupError` if the site has no such service, here and in an operation after it was
        deleted, and `StoreError` if the services cannot be read.
        """
        run(self._flows.for_service(name))
        return following(type(self), lambda: run(self._flows.for_service(name)))

    @property
    def service(self) -> str:
        """The name of the service."""
        return self._flows.service

    @property
    def policy(self) -> Policy:
        """The rules in force."""
        return self._flows.policy

    @property
    def channels(self) -> Sequence[Channel]:
        """The channels in use, in order of preference."""
        return self._flows.channels

    @property
    def drivers(self) -> Mapping[str, Starts]:
        """All configured drivers by name."""
        return self._flows.drivers

    @property
    def has_before_send(self) -> bool:
        """Whether the site decides about each order before anything is sent."""
        return self._flows.has_before_send

    def webhook_url(self, driver_name: str, secret: str) -> str | None:
        """Return the public URL of this driver's webhooks with this secret; None if the site has no public URL."""
        return self._flows.webhook_url(driver_name, secret)

    @property
    def flows(self) -> AsyncVerifier:
        """The `AsyncVerifier` behind this verifier, for callers that combine coroutines."""
        return self._current()

    @property
    def _flows(self) -> AsyncVerifier:
        return self._current()

    def tag(self, phone: PhoneNumber) -> str:
        """Return the keyed digest under which a phone is counted and looked up.

        Verification ids begin with it.
        """
        return self._flows.tag(phone)

    def remember_device(self, trusted_device: str, phone: PhoneNumber, user: str = "") -> str:
        """Return the trusted-device token for a browser that has just signed in with this phone.

        It is valid for 180 days. `trusted_device` is the token that the browser presented before,
        or an empty string. With the id of the `user`, `device_user` returns it for this token.
        """
        return self._flows.remember_device(trusted_device, phone, user)

    def device_user(self, trusted_device: str) -> tuple[str, str] | None:
        """Return the id of the user who last signed in with this token, and the tag of that phone.

        None if the token holds none. The user may have another number by now, or may not exist.
        """
        return self._flows.device_user(trusted_device)

    def forget_device_user(self, trusted_device: str) -> str:
        """Return the token without that user and phone; empty if nothing is left."""
        return self._flows.forget_device_user(trusted_device)

    def start(
        self,
        phone: PhoneNumber,
        *,
        purpose: str = "login",
        channel: Channel | None = None,
        locale: str | None = None,
        address: str | None = None,
        shown: Collection[str] = (),
        trusted_device: str = "",
        subject: str = "",
        owned: bool = False,
        by_client: bool = False,
        user_token: str | None = None,
        options: Mapping[str, str] | None = None,
        proof: str | None = None,
        client: ClientFacts | None = None,
        oauth_client: str = "",
        access_key: str = "",
    ) -> Started | Outcome:
        """Start a verification: send a code, place a call or assign a number to call.

        `phone`: the number to verify. `purpose`: what the proof can be redeemed for. `channel`: by
        default the first preferred one that can serve. `locale`: language of the message.
        `address`: the client's address, for quotas. `shown`: secrets that this browser presented;
        its open verification for the same phone and purpose is cancelled. `trusted_device`: token
        from `remember_device`. `subject`: id of the signed-in user, who alone can redeem the proof
        unless the purpose is a sign-in. `owned`: the phone already belongs to that user.
        `by_client`: a visitor triggered this start rather than your code. `user_token`: the user's
        token at the provider (evand). `options`: options of this order for the driver that declares
        them (evand: `event_id`). `proof`: that of the verification before this one, with its secret
        in `shown`, if the purpose requires several channels. `client`: the request that triggered
        this start, for the site's `before_send`. `oauth_client`: id of the OAuth client that starts
        it; its limits apply in place of those of the address. `access_key`: id of the access key with
        which another program starts it; it has the same limits.

        Return `Started` with `verification` and `secret`, which you keep for `check` and `redeem`,
        or the outcome with the refusal. The quotas of the phone are counted in the same atomic step that creates the
        record. Refusals: destination not allowed, not configured, channel unavailable, too many
        requests (with `retry_after`), send refused, hook failed, delivery failed (with `cause`). Raises `StoreError`,
        and `ValueError` for a malformed `user_token` and for an unknown or malformed option.
        """
        return run(
            self._flows.start(
                phone,
                purpose=purpose,
                channel=channel,
                locale=locale,
                address=address,
                shown=shown,
                trusted_device=trusted_device,
                subject=subject,
                owned=owned,
                by_client=by_client,
                user_token=user_token,
                options=options,
                proof=proof,
                client=client,
                oauth_client=oauth_client,
                access_key=access_key,
            )
        )

    def resend(
        self,
        id: str,
        secret: str,
        *,
        channel: Channel | None = None,
        address: str | None = None,
        owned: bool = False,
        by_client: bool = False,
        user_token: str | None = None,
        client: ClientFacts | None = None,
        oauth_client: str = "",
        access_key: str = "",
    ) -> Outcome:
        """Send again for an open verification, on another `channel` if one is given.

        Takes the id and the secret that `start` returned; the other arguments as for `start`. Never
        resets attempts and never extends `expires_at`; each resend doubles the delay until the
        next, up to ten minutes. Refusals: not found, closed, channel unavailable, too many
        requests, send refused, hook failed, delivery failed (the code sent before stays valid). Raises
        `StoreError`, and `ValueError` for a malformed `user_token`.
        """
        return run(
            self._flows.resend(
                id,
                secret,
                channel=channel,
                address=address,
                owned=owned,
                by_client=by_client,
                user_token=user_token,
                client=client,
                oauth_client=oauth_client,
                access_key=access_key,
            )
        )

    def check(
        self,
        id: str,
        secret: str,
        typed: str,
        *,
        address: str | None = None,
        oauth_client: str = "",
        access_key: str = "",
    ) -> Outcome:
        """Check the code that the user typed.

        The outcome for a correct code holds `proof`, for `redeem`. `typed` may contain spaces,
        dashes and non-ASCII digits. `address` is the client's address, for the limit on its wrong
        answers; that of the `oauth_client` or the `access_key` takes its place. Consuming the attempt and comparing the
        code is one atomic step, so concurrent guesses cannot exceed the limit. Refusals: not found,
        closed, malformed code (no attempt consumed), too many requests, wrong code, provider
        unavailable (attempt consumed). Raises `StoreError`.
        """
        return run(
            self._flows.check(id, secret, typed, address=address, oauth_client=oauth_client, access_key=access_key)
        )

    def poll(
        self,
        id: str,
        secret: str,
        *,
        may_send: bool = False,
        address: str | None = None,
        client: ClientFacts | None = None,
        oauth_client: str = "",
        access_key: str = "",
    ) -> Outcome:
        """Return the current status, with `proof` once verified.

        Refusal: not found. Raises `StoreError`. For an open inbound call the provider is queried,
        every three seconds at most. With `may_send` an order whose user has not answered in time moves
        to the channel that the policy names.
        """
        return run(
            self._flows.poll(
                id,
                secret,
                may_send=may_send,
                address=address,
                client=client,
                oauth_client=oauth_client,
                access_key=access_key,
            )
        )

    def get(self, id: str, secret: str) -> Outcome:
        """Return the current status, with `proof` once verified, without a request to a provider.

        Refusal: not found. Raises `StoreError`.
        """
        return run(self._flows.get(id, secret))

    def receive(self, driver_name: str, request: WebhookRequest) -> WebhookResult:
        """Process a webhook for this driver; return whether it verified a call, and what to reply.

        Check the secret in the webhook's URL first: this method does not. If the provider can be
        queried, the webhook only triggers a query. Delivery reports are only logged. A webhook
        without the signature that its provider adds is rejected. Raises `StoreError`, unless the reply
        rejects a call.
        """
        return run(self._flows.receive(driver_name, request))

    def delivery(self, id: str) -> DeliveryReport | None:
        """Query the provider for the delivery status of the last order; None if it is unknown.

        For server code: the secret is not required. The result proves nothing and changes nothing.
        Raises `StoreError`.
        """
        return run(self._flows.delivery(id))

    def cancel(self, id: str, secret: str) -> Outcome:
        """Cancel an open verification.

        A closed one is left unchanged. Refusal: not found. Raises `StoreError`.
        """
        return run(self._flows.cancel(id, secret))

    def redeem(
        self, proof: str, secrets: Collection[str], purposes: Collection[str], *, subject: str = ""
    ) -> Redeemed | None:
        """Consume a proof and return what it proves, or None if it is not valid.

        `secrets`: those that the browser presented; one must be the verification's. `purposes`:
        those you accept. `subject`: id of the signed-in user; it must equal the one given to
        `start` unless the purpose is a sign-in. A proof is valid once, for five minutes; consuming
        it is atomic, so of concurrent calls one succeeds. Raises `StoreError`.
        """
        return run(self._flows.redeem(proof, secrets, purposes, subject=subject))

    def foresee(
        self, proof: str, secrets: Collection[str], purposes: Collection[str], *, subject: str = ""
    ) -> Redeemed | None:
        """Return what `redeem` would return now, without consuming the proof.

        The arguments are those of `redeem`. Raises `StoreError`.
        """
        return run(self._flows.foresee(proof, secrets, purposes, subject=subject))

    def find_open(self, phone: PhoneNumber, purpose: str, held: Sequence[tuple[str, str]]) -> Verification | None:
        """Return the open verification for this phone and purpose, or None.

        `held` are the (id, secret) pairs to search, newest first; six at most are read. Raises
        `StoreError`.
        """
        return run(self._flows.find_open(phone, purpose, held))

    def notify(self, phone: PhoneNumber, text: str) -> bool:
        """Send `text`, which holds no code, by SMS; return whether a provider accepted it.

        It counts towards the quotas of the number's prefix and of the site. Never raises: errors
        are logged.
        """
        return run(self._flows.notify(phone, text))

    def explain_routes(self, phone: PhoneNumber) -> Sequence[ChannelRoute]:
        """Return by channel which drivers may carry orders to this phone, in which shares, and why.

        Nothing is sent. Raises `StoreError`.
        """
        return run(self._flows.explain_routes(phone))

    def explain_fraud(self, phone: PhoneNumber) -> FraudExplanation | None:
        """Return how the fraud guard weighs a visitor's order to this phone now; None if the site has no guard.

        Nothing is sent, and nothing counted. Raises `StoreError`.
        """
        return run(self._flows.explain_fraud(phone))

    def unlock(self, phone: PhoneNumber) -> bool:
        """Reset the failure counters of a phone and their lockouts.

        Return whether there were any. Raises `StoreError`. For staff and support, after they have
        identified the person who asks for it.
        """
        return run(self._flows.unlock(phone))

    def held_by(self, client: str, phone: PhoneNumber, purposes: Collection[str]) -> tuple[str, str] | None:
        """Return id and secret of the newest verification that an OAuth client started for this phone.

        `purposes`: those that count. None without one that has not expired. Raises `StoreError`.
        """
        return run(self._flows.held_by(client, phone, purposes))

    def session_generation(self, subject: str) -> int:
        """Return how often `end_sessions` was called for this subject (a user, as text).

        Store it in each new session and pass it to `sessions_ended`. Raises `StoreError`.
        """
        return run(self._flows.session_generation(subject))

    def sessions_ended(self, subject: str, generation: int) -> bool:
        """Return whether sessions that started under this generation were ended.

        Raises `StoreError`.
        """
        return run(self._flows.sessions_ended(subject, generation))

    def end_sessions(self, subject: str) -> None:
        """End all current sessions of this subject: `sessions_ended` returns True for them.

        Raises `StoreError`.
        """
        run(self._flows.end_sessions(subject))

    def note_token_check(self, token: str, user_id: str, phone: PhoneNumber) -> None:
        """Note that the user who presents this token of the site has just verified this number.

        It counts for 15 minutes, and for this token only. Raises `StoreError`.
        """
        run(self._flows.note_token_check(token, user_id, phone))

    def has_token_check(self, token: str, user_id: str, phones: Collection[PhoneNumber]) -> bool:
        """Return whether `note_token_check` was called for one of these numbers within 15 minutes.

        Raises `StoreError`.
        """
        return run(self._flows.has_token_check(token, user_id, phones))

    def cancel_by_id(self, id: str) -> bool:
        """Cancel an open verification without its secret.

        Return whether it was open. Raises `StoreError`. For server code, like an admin action.
        """
        return run(self._flows.cancel_by_id(id))

    def purge(self, limit: int = 1000) -> int:
        """Delete at most `limit` expired records and counters.

        Return how many. Raises `StoreError`.
        """
        return run(self._flows.purge(limit))

    def send_queued(self, only: tuple[str, int] | None = None) -> bool:
        """Send the order that waits longest, or this one of a verification and send number, for a worker.

        Return whether one was due. Safe in several workers at the same time. Raises `StoreError`; the order
        is then due again after a minute.
        """
        return run(self._flows.send_queued(only))

    @property
    def ledger(self) -> ServiceLedger | None:
        """The ledger; None if the site has none."""
        return self._flows.ledger

    def settle_ledger(self, limit: int = 500) -> int:
        """Settle at most `limit` attempts that stayed open longer than a verification can be.

        Return how many verifications changed. Raises `StoreError`.
        """
        return run(self._flows.settle_ledger(limit))

    def look_up_deliveries(self, limit: int = 50, now: datetime | None = None) -> int:
        """Ask providers what became of at most `limit` orders whose delivery is not known, and write it.

        Return how many providers answered. Raises `StoreError`.
        """
        return run(self._flows.look_up_deliveries(limit, now))

    def purge_ledger(self, keep: timedelta, limit: int = 1000) -> int:
        """Delete at most `limit` attempts older than this; return how many. Raises `StoreError`.

        Open ones stay until `settle_ledger` has settled them, without the phone.
        """
        return run(self._flows.purge_ledger(keep, limit))

    def provider_balances(self, wanted: Mapping[str, Decimal]) -> list[Balance]:
        """Ask every provider that can report it for the site's account; raise alarms for low balances.

        Raises `StoreError`.
        """
        return run(self._flows.provider_balances(wanted))

    def erase(self, phone: PhoneNumber) -> int:
        """Delete everything stored about a phone, counters included.

        Return the number of verifications deleted. Raises `StoreError`.
        """
        return run(self._flows.erase(phone))


def following(kind: type[V], current: Callable[[], AsyncVerifier]) -> V:
    """Return a verifier whose operations are those of the `AsyncVerifier` that `current` returns at that time."""
    made = kind.__new__(kind)
    made._current = current
    return made
