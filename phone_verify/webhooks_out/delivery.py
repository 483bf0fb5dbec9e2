"""Delivery of the messages that are due: order, retries, and endpoints that are down or gone."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from queue import SimpleQueue
from typing import Protocol

from ..sync import run
from .base import Outbox, Taken
from .endpoints import Endpoint, Endpoints
from .messages import body_of
from .sender import Answer, Sender
from .signing import signed_headers

log = logging.getLogger("phone_verify")

#: The delays after each failed attempt, as Standard Webhooks recommends them: three days in all.
DELAYS = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)
#: A random part of this share is added to each delay, so that messages do not return together.
_JITTER = 0.2
#: The longest delay that an endpoint can ask for.
_LONGEST_DELAY = timedelta(days=1)
#: How long the other messages of an endpoint wait after it could not be reached.
PAUSE = timedelta(seconds=60)
#: How long a worker keeps messages, and for how many seconds it begins to send in one run, and to one endpoint.
LEASE = timedelta(minutes=5)
_LONGEST_RUN, _LONGEST_TURN = 60.0, 10.0
_MOST_THREADS = 8
_NO_ENDPOINT = "the service has no endpoint of this name"
_DISABLED = "the endpoint is disabled"


class Sends(Protocol):
    """Sends one message."""

    def send(self, endpoint: Endpoint, headers: dict[str, str], body: bytes) -> Answer: ...


class Deliverer:
    """Delivers the messages of an outbox.

    `endpoints` returns those of a service as they are configured now: a message goes to the present URL
    and is signed with the present secrets.
    """

    def __init__(
        self,
        outbox: Outbox,
        endpoints: Endpoints,
        *,
        sender: Sends | None = None,
        draw: Callable[[], float] = random.random,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outbox = outbox
        self._endpoints, self._draw, self._ticks = endpoints, draw, ticks
        self._sender: Sends = sender or Sender()

    def endpoint(self, service: str, name: str) -> Endpoint | None:
        """Return an endpoint of a service."""
        return next((each for each in self._endpoints(service) if each.name == name), None)

    def deliver_due(self, limit: int, now: datetime) -> int:
        """Send at most `limit` messages that are due; return how many were due.

        Endpoints are served side by side, each by one message at a time and for ten seconds. Takes about a
        minute at most; what is left is due in the next run. Raises `StoreError`: messages that were sent
        meanwhile go again, with the same ids.
        """
        taken = run(self.outbox.take(limit, LEASE, now))
        if not taken:
            return 0
        disabled = {
            (state.service, state.endpoint, state.place)
            for state in run(self.outbox.states())
            if state.disabled_at is not None
        }
        groups: list[tuple[Endpoint, list[Taken]]] = []
        for (service, name), messages in _by_endpoint(taken).items():
            endpoint = self.endpoint(service, name)
            if endpoint is None:
                # Retried like a failure: another process may know it already.
                for message in messages:
                    self._failed(message, None, Answer(None, _NO_ENDPOINT), now)
            elif (service, name, endpoint.place) in disabled:
                for message in messages:
                    run(self.outbox.failed(message, None, None, _DISABLED, None, now))
            else:
                groups.append((endpoint, messages))
        if groups:
            self._deliver(_services_in_turn(groups), now)
        return len(taken)

    def ping(self, service: str, name: str, now: datetime) -> Answer | None:
        """Send a message of the type `ping` to an endpoint, without the outbox and even if it is disabled.

        Returns None if the service has no endpoint of this name.
        """
        endpoint = self.endpoint(service, name)
        if endpoint is None:
            return None
        id = f"msg_ping_{int(now.timestamp() * 1_000_000)}"
        return self._send(endpoint, id, body_of("ping", now, {"service": service}), now)

    def _deliver(self, groups: Sequence[tuple[Endpoint, list[Taken]]], now: datetime) -> None:
        results: SimpleQueue[tuple[Endpoint, Taken, Answer | timedelta] | None] = SimpleQueue()

        began = self._ticks()

        def send_group(endpoint: Endpoint, messages: list[Taken]) -> None:
            try:
                for message, result in self._sent_in_order(endpoint, messages, began, now):
                    results.put((endpoint, message, result))
            finally:
                results.put(None)

        with ThreadPoolExecutor(min(len(groups), _MOST_THREADS)) as executor:
            running = [executor.submit(send_group, endpoint, messages) for endpoint, messages in groups]
            # Recorded by this thread: the outbox may have a connection of it.
            left = len(groups)
            while left:
                result = results.get()
                if result is None:
                    left -= 1
                else:
                    self._record(*result, now)
        for each in running:
            each.result()

    def _sent_in_order(
        self, endpoint: Endpoint, messages: Sequence[Taken], began: float, now: datetime
    ) -> Iterator[tuple[Taken, Answer | timedelta]]:
        """Yield each message with the answer, or with the delay after which it is due if it was not sent.

        `began` is when the run began. An endpoint that had no time in this run comes first in the next one.
        """
        pause = delay = timedelta(0)
        ends = min(self._ticks() + _LONGEST_TURN, began + _LONGEST_RUN)
        for message in messages:
            if pause or self._ticks() >= ends:
                yield message, pause or delay
                continue
            answer = self._send(endpoint, message.id, message.body, now)
            delay = timedelta(seconds=self._ticks() - began)
            if answer.is_overloaded or answer.status == HTTPStatus.GONE:
                pause = self._delayed(PAUSE)
            yield message, answer

    def _send(self, endpoint: Endpoint, id: str, body: str, now: datetime) -> Answer:
        return self._sender.send(endpoint, signed_headers(endpoint, id, body, now), body.encode())

    def _record(self, endpoint: Endpoint, message: Taken, answer: Answer | timedelta, now: datetime) -> None:
        if isinstance(answer, timedelta):
            run(self.outbox.postpone(message, now + answer))
        elif not answer.problem and answer.status is not None:
            run(self.outbox.done(message, endpoint.place, answer.status, now))
        elif answer.status == HTTPStatus.GONE:
            log.warning(
                "webhook endpoint %s of service %s answered 410 and was disabled; to enable it, run: "
                "phone-verify webhooks enable %s %s",
                message.endpoint, message.service, message.service, message.endpoint,
            )  # fmt: skip
            run(self.outbox.failed(message, endpoint.place, 410, answer.problem, None, now, disable=True))
        else:
            self._failed(message, endpoint.place, answer, now)

    def _failed(self, message: Taken, place: str | None, answer: Answer, now: datetime) -> None:
        retry_at = None
        if message.tries <= len(DELAYS):
            delay = self._delayed(DELAYS[message.tries - 1])
            retry_at = now + max(delay, min(_asked_for(answer.retry_after, now), _LONGEST_DELAY))
        else:
            log.warning(
                "webhook message %s (%s) was not delivered to endpoint %s of service %s in %d attempts: %s",
                message.id, message.event, message.endpoint, message.service, message.tries, answer.problem,
            )  # fmt: skip
        run(self.outbox.failed(message, place, answer.status, answer.problem, retry_at, now))

    def _delayed(self, delay: timedelta) -> timedelta:
        return delay * (1 + _JITTER * self._draw())


def _services_in_turn(groups: Sequence[tuple[Endpoint, list[Taken]]]) -> list[tuple[Endpoint, list[Taken]]]:
    """Return the groups with the first of each service before the second of any."""
    before: Counter[str] = Counter()
    places = []
    for _, messages in groups:
        places.append(before[messages[0].service])
        before[messages[0].service] += 1
    return [group for _, group in sorted(zip(places, groups, strict=True), key=lambda placed: placed[0])]


def _by_endpoint(taken: Sequence[Taken]) -> dict[tuple[str, str], list[Taken]]:
    found: dict[tuple[str, str], list[Taken]] = {}
    for message in taken:
        found.setdefault((message.service, message.endpoint), []).append(message)
    return found


def _asked_for(retry_after: str, now: datetime) -> timedelta:
    """Return the delay of a `Retry-After` header: seconds or a date; zero if it is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:10]), 10**9))
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return timedelta(0)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
