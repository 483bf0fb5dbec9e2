"""Prometheus metrics of operations, in the process's default registry: a listener of events.

A site with an endpoint for that registry shows them there too. Under several processes,
`PROMETHEUS_MULTIPROC_DIR` makes every process write to files, and the endpoint adds them up, as
prometheus_client documents.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any, cast

from ..errors import missing_extra
from .record import VerificationEvent

#: Upper bounds of the histograms in seconds: from a check on a fast store to a start with failover (20 s).
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)


@cache
def prometheus() -> Prometheus:
    """Return the metrics, which a process registers once. Raises `ConfigurationError` without the extra."""
    try:
        return Prometheus()
    except ImportError as error:
        raise missing_extra("PHONE_VERIFY_METRICS_TOKEN", "prometheus", error) from error


class Prometheus:
    """Counts events. The labels have few values, and hold no personal data."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Histogram

        names = ("verb", "outcome", "channel", "driver")
        self._operations = Counter("phone_verify_operations", "Finished operations, by outcome", names)
        self._seconds = Histogram(
            "phone_verify_operation_seconds", "Duration of an operation", ("verb",), buckets=BUCKETS
        )
        self._provider_seconds = Histogram(
            "phone_verify_provider_seconds", "Time of an operation spent on its provider", ("driver",), buckets=BUCKETS
        )
        self._parts = Counter("phone_verify_message_parts", "SMS segments that providers reported", ("driver",))
        self._cost = Counter(
            "phone_verify_cost", "Prices that providers reported with the order", ("driver", "currency")
        )

    def count(self, event: VerificationEvent) -> None:
        """Count an event; the `Listener` of a site."""
        driver = event.driver or ""
        self._operations.labels(event.verb, event.outcome, event.channel or "", driver).inc()
        self._seconds.labels(event.verb).observe(event.seconds)
        if event.provider_seconds:
            self._provider_seconds.labels(driver).observe(event.provider_seconds)
        if event.parts:
            self._parts.labels(driver).inc(event.parts)
        if event.price is not None:
            self._cost.labels(driver, event.currency or "").inc(max(float(event.price), 0.0))


def exposition(accept: str) -> tuple[str, str]:
    """Return the metrics of all processes and their media type, in the format that `accept` asks for."""
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.multiprocess import MultiProcessCollector

    registry: Any = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry, collector = CollectorRegistry(), cast("Any", MultiProcessCollector)
        collector(registry)
    encode, media_type = choose_encoder(accept)
    return encode(registry).decode(), media_type
