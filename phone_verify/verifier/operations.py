"""The verification operations (start, resend, check, poll, receive, cancel, redeem).

Each operation is written once, as a coroutine over a `Store` and a `Transport`. `AsyncVerifier`
exposes the coroutines; `Verifier` of `blocking.py` runs them to completion without an event loop,
over a store and a transport that never suspend. This module only orders the I/O: the rules are in
`lifecycle.py` and are applied inside the store's steps; `admission.py` counts an order and selects
its drivers.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..before_send import ClientFacts
from ..codes import new_id, new_secret, normalise
from ..delivery import Undelivered
from ..drivers.base import ChecksRemotely
from ..errors import ProviderError, UnclearError
from ..exchange import WebhookRequest, WebhookResult
from ..inbound import InboundCalls
from ..lifecycle import AttemptResult, Opening, Spent, has_proof
from ..limits import Answering, DenialReason, Denied
from ..model import (
    Channel,
    Outcome,
    Reason,
    Redeemed,
    Request,
    Started,
    Status,
    Verification,
    is_id,
    with_changes,
)
from ..parts import Components
from ..phone import PhoneNumber
from ..planning import Code
from ..tokens.proof import Proofs
from .admission import Admission, Asked, Candidate, Sends, allowed, require_token, throttled
from .combined import channels_left
from .fallback import Fallbacks
from .limited import LimitedVerifiers
from .queued import QueuedOperations
from .redemption import MAX_SECRETS, Redemption
from .reporting import operation
from .sources import Source
from .streaming import Streaming

log = logging.getLogger("phone_verify")


class AsyncVerifier(QueuedOperations):
    """Verifies phone numbers in async applications.

    Create one and reuse it across tasks and event loops. The store and the transport must not block
    the event loop. Cancelling a call has the same effect as a crash: the record remains until it
    expires. `Verifier` has the same methods without `await`.
    """

    def __init__(self, parts: Components) -> None:
        super().__init__(parts)
        self._planner, self._inbound = self._delivery.planner, InboundCalls(parts, self._delivery)
        self._proofs = Proofs(parts.keyring, *parts.audiences)
        self._redemption = Redemption(parts, self._proofs)
        self._admission = Admission(parts, self._planner, self._delivery.statistics)
        self._limits, self._rights = self._admission.limits, parts.rights
        self.fallbacks = Fallbacks(parts.policy.fallbacks)
        self.streaming = Streaming(parts, self._inbound, self.fallbacks)
        #: The verifiers of the same records that order on some of the channels only.
        self.limited: LimitedVerifiers[AsyncVerifier] = LimitedVerifiers(parts, AsyncVerifier)

    @operation("start")
    async def start(
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
        """Send a code, place a call or assign a number to call.

        Return `Started` with the verification and its secret, or the outcome with the refusal. Without
        `channel`, the first preferred channel that can serve this phone is used. `address` is the client's
        address, for the quotas per address. `shown` are the secrets that the same browser presented: its open
        verification for this phone and purpose is cancelled. `trusted_device` is the token that
        `remember_device` returned for this browser; its sends and wrong answers then count separately.
        `subject` is the id of the signed-in user, if any: only this user can redeem the proof, unless the
        purpose is a sign-in. `owned` means that the phone already belongs to this user: sends for `confirm`
        then have a separate quota, which other clients cannot exhaust, and a number that today's numbering plan
        does not contain is not refused. `by_client` means that a visitor triggered this start rather than your
        code: a reserved share of the quotas that span phones is then not available. `user_token` is the user's
        token at the provider, for a driver that sends with it (evand); other drivers do not receive it.
        `options` are for the driver that declares them (evand: `event_id`), in place of its DSN's. `proof` is
        that of the verification before this one, if the purpose requires several channels: it is consumed, its
        secret must be among `shown`, and its phone, purpose and `subject` must be the same. `client` is the
        request that triggered this start, for the site's `before_send`. `oauth_client` is the id of the OAuth
        client that starts it: its limits apply in place of those of the address, and `held_by` finds the
        secret. `access_key` is the id of the access key, which has the same limits.

        Refusals: invalid proof, destination not allowed, not configured, channel unavailable, too many requests,
        send refused, hook failed, delivery failed. Raises `StoreError` if the store is unavailable and `ValueError`
        for a malformed `user_token`, an unknown or malformed option, and a purpose that the service does not have.
        """
        require_token(user_token)
        self.services.require(purpose)
        self._delivery.check_options(options or {})
        channel = None if channel is None else Channel(channel)
        phone = phone.current
        earlier = await self._redemption.earlier(proof, shown, phone, purpose, subject) if proof is not None else None
        if proof is not None and earlier is None:
            return Outcome(Reason.INVALID_PROOF)
        if refusal := self._admission.refused_destination(phone, channel, owned=owned):
            return Outcome(refusal)
        proved = earlier.proved_channels if earlier is not None else ""
        channels = self._admission.startable(phone, purpose, proved, channel)
        if isinstance(channels, Reason):
            return Outcome(channels)
        tag = self.keyring.tag(phone)
        secret, id = new_secret(self._parts.random_bytes), new_id(tag, self._parts.random_bytes)
        if oauth_client:
            secret = self.keyring.client_secrets(oauth_client, id)[0]
        trusted = self._trusts_device(trusted_device, tag)
        apart, reserved = purpose if owned or not by_client else None, trusted or not by_client
        source = Source(address, oauth_client, access_key)
        sends = Sends(self._parts, phone, tag, apart, source, trusted=trusted, reserved=reserved)
        bindings = [self._parts.binding(old) for old in list(shown)[:MAX_SECRETS]]
        budget = self._admission.budget(phone, purpose, subject, proved)
        request = Request(
            id=id,
            tag=tag,
            phone=phone,
            purpose=purpose,
            service=self._parts.service,
            binding=self._parts.binding(secret),
            locale=locale,
            trusted=trusted,
            subject=self.keyring.subject(subject),
            budget=str(budget),
            proved_channels=proved,
            access_key=access_key,
            channels=" ".join(self._parts.only),
        )

        first_code: Code | None = None

        async def open_with(candidate: Candidate) -> Verification | Denied:
            nonlocal first_code
            first_code = self._planner.first_code(request, candidate.driver, candidate.plan)
            opening = self._opening(request, candidate, first_code, bindings)
            return await sends.open(opening, self._limits, self._admission.at_once)

        client = client or ClientFacts(address)
        asked = Asked(client, locale, signed_in=bool(subject), by_client=by_client, owned=owned)
        admitted = await self._admission.admit(sends, phone, purpose, channels, open_with, budget, asked)
        if isinstance(admitted, Outcome):
            return admitted
        if isinstance(admitted, Denied):
            return throttled(admitted)
        carried = await self._carry(
            admitted,
            bindings,
            client,
            sends,
            first_code=first_code,
            user_token=user_token,
            options=options,
            access_key=access_key,
            waits=earlier is None,
        )
        if isinstance(carried, Undelivered):
            await sends.give_back(admitted.record, carried)
            await self._store.settle(admitted.record.id, Status.FAILED, self._now())
            await self._delivery.failed(admitted.record)
            return Outcome(carried.reason, cause=carried.cause)
        if isinstance(carried, Denied):
            return self._outcome_of(carried)
        # Only now, so that a refused order does not cost the visitor the proof. Without the secret,
        # the record of a start that loses this race is of no use to anyone.
        if earlier is not None and not await self._redemption.consume(earlier, subject):
            await self._store.settle(carried.id, Status.CANCELLED, self._now())
            await self._delivery.cancelled(carried)
            return Outcome(Reason.INVALID_PROOF)
        if carried.request is not request:  # the number of `request` is parsed already
            carried = with_changes(carried, request=request)
        left = channels_left(self.policy, carried)
        return Started(
            verification=carried, secret=secret, channels=self._admission.resendable(carried), channels_left=left
        )

    @operation("resend")
    async def resend(
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
        """Send again, on another channel if one is given.

        Never resets attempts, never extends `expires_at`. Refusals: not found, closed, channel
        unavailable, too many requests, send refused, hook failed, delivery failed. The code sent
        before stays valid. One that an access key started stays on the key's channels and counts for the
        key, and is refused if the key was revoked or has expired.
        """
        require_token(user_token)
        channel = None if channel is None else Channel(channel)
        found = await self._bound(id, secret)
        if isinstance(found, Outcome):
            return found
        if not found.open:
            return self._outcome_for(found, Reason.CLOSED)
        # Also in calls with the key: an event stream that it opened may outlast it.
        if not await self._keys_are_usable(found.request.access_key, access_key):
            return self._outcome_for(found, Reason.SEND_REFUSED)
        starter = found.request.access_key if found.request.access_key != access_key else ""
        usable = self._admission.usable(found.purpose, found.proved_channels)
        others = (c for c in (self.router.preferred if usable is None else usable) if c is not found.channel)
        channels = allowed(found, [channel] if channel else [found.channel, *others])
        if channel not in (None, found.channel) and usable is not None and channel not in usable:
            return self._outcome_for(found, Reason.CHANNEL_UNAVAILABLE)
        if not any(self._admission.route(c, found.phone, found.purpose) for c in channels):
            return self._outcome_for(found, Reason.CHANNEL_UNAVAILABLE)
        apart, reserved = found.purpose if owned or not by_client else None, found.trusted or not by_client
        source = Source(address, oauth_client, access_key, starter)
        sends = Sends(self._parts, found.phone, found.tag, apart, source, trusted=found.trusted, reserved=reserved)
        binding = self._parts.binding(secret)

        async def reopen_with(candidate: Candidate) -> Verification | Denied:
            return await self._store.reopen(
                id,
                binding,
                candidate.channel,
                candidate.short,
                sends.of_phone,
                self._limits,
                self.policy.resend_after,
                self._now(),
            )

        client = client or ClientFacts(address)
        asked = Asked(client, found.locale, signed_in=bool(found.subject), by_client=by_client, owned=owned)
        admitted = await self._admission.admit(
            sends, found.phone, found.purpose, channels, reopen_with, found.counts_as, asked, found
        )
        if isinstance(admitted, Outcome):
            return admitted
        if not isinstance(admitted, Denied):
            carried = await self._carry(
                admitted, [binding], client, sends, again=True, user_token=user_token, access_key=access_key or starter
            )
            if isinstance(carried, Undelivered):
                await sends.give_back(admitted.record, carried)
                outcome = self._outcome_for(await self._store.get(id, self._now()), carried.reason)
                return replace(outcome, cause=carried.cause)
            return self._outcome_of(carried)
        if admitted.why is DenialReason.CLOSED:
            return self._outcome_for(admitted.record, Reason.CLOSED)
        if admitted.why is DenialReason.UNBOUND:
            return Outcome(Reason.NOT_FOUND)
        return replace(throttled(admitted), verification=admitted.record)

    @operation("check")
    async def check(
        self,
        id: str,
        secret: str,
        typed: str,
        *,
        address: str | None = None,
        oauth_client: str = "",
        access_key: str = "",
    ) -> Outcome:
        """Check a code as the user typed it; the outcome for a correct code holds the proof.

        `address` is the client's address, for the limit on its wrong answers over all phones; that of
        the `oauth_client` or the `access_key` takes its place.
        Consuming the attempt and comparing the code is one atomic step of the store. Refusals: not
        found, closed, malformed code (no attempt consumed), too many requests, wrong code, provider
        unavailable (the provider could not check its code; the attempt is consumed).
        """
        if not is_id(id):
            return Outcome(Reason.NOT_FOUND)
        code = normalise(typed) or ""
        digests = self.keyring.digests(id, code)
        source = Source(address, oauth_client, access_key)
        answering = Answering(source.bucket(self.keyring, "wrong"), self._rights.due())
        limits = source.limits(self._limits, self.policy)
        binding = self._parts.binding(secret)
        spent = await self._store.spend(id, binding, digests, len(code), limits, answering, self._now())
        if isinstance(spent, Denied):
            match spent.why:
                case DenialReason.UNBOUND:
                    return Outcome(Reason.NOT_FOUND)
                case DenialReason.CLOSED:
                    return self._outcome_for(spent.record, Reason.CLOSED)
                case DenialReason.NO_CODE | DenialReason.OTHER_LENGTH:
                    return self._outcome_for(spent.record, Reason.MALFORMED_CODE)
                case _:
                    return Outcome(Reason.TOO_MANY_REQUESTS, spent.record, spent.retry_after)
        if spent.answer is AttemptResult.TAKEN:
            return await self._check_remotely(spent, code, answering, source)
        if spent.answer is AttemptResult.RIGHT:
            self._rights.add(answering.rights)
            await self._delivery.verified(spent.record, source.networks)
        return self._outcome_for(spent.record, None if spent.answer is AttemptResult.RIGHT else Reason.WRONG_CODE)

    @operation("poll")
    async def poll(
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
        """Return the current status; the outcome holds the proof once verified.

        For an open inbound call the provider is queried, every three seconds at most for one
        verification, over all processes. With `may_send` an order whose user has not answered in time
        moves to the channel that the policy names, once and as a resend of this client. Without a
        change the outcome is the same as that of `get`. Refusal: not found. Raises `StoreError`.
        """
        found = await self._bound(id, secret)
        if isinstance(found, Outcome):
            return found
        if may_send and (channel := self.fallbacks.due(found)) is not None:
            self.fallbacks.remember(found)
            by: dict[str, Any] = {
                "address": address,
                "client": client,
                "oauth_client": oauth_client,
                "access_key": access_key,
            }
            moved = await self.resend(id, secret, channel=channel, by_client=True, **by)
            found = moved.verification or found  # a refused move leaves the order as it is
        binding = self._parts.binding(secret)
        if self._inbound.may_query(found) and await self._store.may_poll(id, binding, self._now()):
            await self._inbound.query(found)
            found = await self._store.get(id, self._now()) or found
        return await self._with_cause(self._outcome_for(found))

    async def get(self, id: str, secret: str) -> Outcome:
        """Return the current status without a request to a provider.

        The outcome holds the proof once verified, until it is redeemed or five minutes old.
        Refusal: not found, for an unknown id as for a secret that is not the verification's. Raises
        `StoreError`.
        """
        found = await self._bound(id, secret)
        return found if isinstance(found, Outcome) else await self._with_cause(self._outcome_for(found))

    @operation("receive")
    async def receive(self, driver_name: str, request: WebhookRequest) -> WebhookResult:
        """Process a webhook for this driver; return whether it verified a call, and what to reply.

        The caller must have checked the secret in the webhook's URL. If the provider can be
        queried, the event only triggers a query and the response decides; otherwise the event must
        match exactly one open claim. Delivery reports are only logged. A webhook without the
        signature that its provider adds is rejected. Raises `StoreError`, unless the reply rejects a call.
        """
        return await self._inbound.receive(driver_name, request)

    @operation("cancel")
    async def cancel(self, id: str, secret: str) -> Outcome:
        """Cancel an open verification.

        A closed one is left unchanged, and the outcome is a success too. Refusal: not found. Raises
        `StoreError`.
        """
        found = await self._bound(id, secret)
        if isinstance(found, Outcome):
            return found
        if await self._store.settle(id, Status.CANCELLED, self._now()):
            await self._delivery.cancelled(found)
        return Outcome()

    @operation("redeem")
    async def redeem(
        self, proof: str, secrets: Collection[str], purposes: Collection[str], *, subject: str = ""
    ) -> Redeemed | None:
        """Consume a proof for one of these purposes.

        Return what it proves, or None if it is not valid. A proof is valid once, for five minutes,
        and only with the secret of its verification, which must be among `secrets`; at most six are
        tried. Unless the purpose is a sign-in, `subject` must equal the one given to `start`: the
        id of the signed-in user. If the purpose requires several channels, only the proof of the
        verification after which none is left is valid; `Outcome.channels_left` says which are.
        Consuming is atomic: of concurrent calls one succeeds. Raises `StoreError`.
        """
        return await self._redemption.redeem(proof, secrets, purposes, subject)

    @operation("look")
    async def foresee(
        self, proof: str, secrets: Collection[str], purposes: Collection[str], *, subject: str = ""
    ) -> Redeemed | None:
        """Return what `redeem` would return now, without consuming the proof.

        The arguments are the same. Use it to decide before redeeming whether the proof may be used.
        Raises `StoreError`.
        """
        return await self._redemption.foresee(proof, secrets, purposes, subject)

    async def find_open(self, phone: PhoneNumber, purpose: str, held: Sequence[tuple[str, str]]) -> Verification | None:
        """Return the open verification for this phone and purpose, or None.

        `held` are the (id, secret) pairs to search, for example those in the cookie; at most six
        are read. Raises `StoreError`.
        """
        tag = self.keyring.tag(phone)
        for id, secret in held[:MAX_SECRETS]:
            if id.startswith(tag):
                found = await self._bound(id, secret)
                if isinstance(found, Verification) and found.open and found.purpose == purpose:
                    return found
        return None

    def _outcome_of(self, attached: Verification | Denied) -> Outcome:
        """Return the outcome of an order that a provider accepted or may have accepted."""
        if not isinstance(attached, Denied):
            return self._outcome_for(attached)
        if attached.why is DenialReason.LINE_TAKEN:
            return self._outcome_for(attached.record, Reason.CHANNEL_UNAVAILABLE)
        return self._outcome_for(attached.record, Reason.CLOSED)

    async def _check_remotely(self, spent: Spent, code: str, answering: Answering, source: Source) -> Outcome:
        record = spent.record
        driver = self.router.drivers().get(record.driver)
        right: bool | None = None
        if isinstance(driver, ChecksRemotely):
            try:
                right = await self._delivery.converse(driver.check(record.phone, code, record.reference), driver)
            except (ProviderError, UnclearError) as error:
                log.warning("%s could not check a code: %s", driver.name, error)
        judged = await self._store.resolve_check(record.id, right, record.generation, answering, self._now())
        if judged is None:
            return Outcome(Reason.NOT_FOUND)
        if judged.verified:
            self._rights.add(answering.rights)
            await self._delivery.verified(judged.record, source.networks)
            return self._outcome_for(judged.record)
        if right is None:
            return self._outcome_for(judged.record, Reason.PROVIDER_UNAVAILABLE)
        # A correct answer for an open record was for a code that a resend has replaced.
        late = right and not judged.record.open
        return self._outcome_for(judged.record, Reason.CLOSED if late else Reason.WRONG_CODE)

    # Helpers of the operations.

    async def _bound(self, id: str, secret: str) -> Verification | Outcome:
        return await self._redemption.bound(id, secret) or Outcome(Reason.NOT_FOUND)

    def _opening(self, request: Request, candidate: Candidate, code: Code, shown: Sequence[bytes]) -> Opening:
        return Opening(
            request=request,
            channel=candidate.channel,
            driver=candidate.driver.name,
            plan=candidate.plan,
            key_id=code.key_id,
            code_digest=code.digest,
            resend_after=self.policy.resend_after,
            short=candidate.short,
            shown=shown,
        )

    def _outcome_for(self, record: Verification | None, reason: Reason | None = None) -> Outcome:
        """Return the outcome for a client that holds the secret."""
        if record is None:
            return Outcome(reason or Reason.NOT_FOUND)
        proof = None
        if has_proof(record) and record.closed_at is not None:
            proof = self._proofs.sign(record.id, record.purpose, record.closed_at)
        left = channels_left(self.policy, record)
        return Outcome(reason, record, proof=proof, channels=self._admission.resendable(record), channels_left=left)
