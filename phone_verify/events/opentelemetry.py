"""OpenTelemetry, if its API is installed: a counter, two histograms, and one span per operation.

Only the API is used, so that nothing leaves the process unless the site has configured an SDK.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.util import find_spec
from time import monotonic
from typing import Any

from .record import Telemetry, VerificationEvent, labels

_NAME = "phone_verify"
#: How long no receiver is looked for after none was found.
_SECONDS = 1.0
_OF_THE_API = ("opentelemetry.trace", "opentelemetry.metrics")


def telemetry() -> Telemetry | None:
    """Return the instruments, or None if OpenTelemetry is not installed."""
    return OpenTelemetry() if find_spec("opentelemetry") is not None else None


class OpenTelemetry:
    """Instruments of OpenTelemetry's API."""

    def __init__(self) -> None:
        from opentelemetry import metrics, trace

        self._trace: Any = trace
        self._providers = trace.get_tracer_provider, metrics.get_meter_provider
        self._is_on, self._asked_again_at = False, float("-inf")
        meter, self._tracer = metrics.get_meter(_NAME), trace.get_tracer(_NAME)
        self._verbs = meter.create_counter("phone_verify.verbs", description="Finished operations, by outcome")
        self._seconds = meter.create_histogram(
            "phone_verify.duration", unit="s", description="Duration of an operation"
        )
        self._waits = meter.create_histogram(
            "phone_verify.provider.duration", unit="s", description="Time spent on providers"
        )

    @property
    def on(self) -> bool:
        """Whether the site has configured a receiver.

        Without one the API does nothing, but is not free of cost: its providers are then its own. That the SDK
        is loaded says nothing: redis-py does so. One that is configured after operations is noticed within a
        second: the API reads the environment each time it is asked.
        """
        if not self._is_on and monotonic() >= self._asked_again_at:
            self._asked_again_at = monotonic() + _SECONDS
            tracers, meters = self._providers
            self._is_on = _is_configured(tracers()) or _is_configured(meters())
        return self._is_on

    def span(self, verb: str) -> AbstractContextManager[object]:
        """Return the span of an operation."""
        span: AbstractContextManager[object] = self._tracer.start_as_current_span(f"phone_verify.{verb}")
        return span

    def count(self, event: VerificationEvent) -> None:
        """Count an operation, and label its span."""
        attributes = labels(event)
        self._verbs.add(1, attributes)
        self._seconds.record(event.seconds, attributes)
        if event.provider_seconds:
            self._waits.record(event.provider_seconds, attributes)
        self._trace.get_current_span().set_attributes(attributes)


def _is_configured(provider: object) -> bool:
    return not type(provider).__module__.startswith(_OF_THE_API)
