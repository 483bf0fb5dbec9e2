"""OpenTelemetry, where its API is installed: a counter, two histograms, and a span a verb.

Only the API is used, so that nothing leaves the process unless the site has set up an SDK.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Any

from .record import Telemetry, VerificationEvent, labels

_NAME = "phone_verify"


def telemetry() -> Telemetry | None:
    """What measures and traces, or None where OpenTelemetry is not installed."""
    return OpenTelemetry() if find_spec("opentelemetry") is not None else None


class OpenTelemetry:
    """Instruments of OpenTelemetry's API."""

    def __init__(self) -> None:
        from opentelemetry import metrics, trace

        self._trace: Any = trace
        meter, self._tracer = metrics.get_meter(_NAME), trace.get_tracer(_NAME)
        self._verbs = meter.create_counter("phone_verify.verbs", description="Verbs that have ended, by outcome")
        self._seconds = meter.create_histogram("phone_verify.duration", unit="s", description="How long a verb took")
        self._waits = meter.create_histogram(
            "phone_verify.provider.duration", unit="s", description="What providers took of it"
        )

    @property
    def on(self) -> bool:
        """Whether the site has set up anything that would receive it; the API alone does nothing, and not for free."""
        traced = not isinstance(self._trace.get_tracer_provider(), self._trace.ProxyTracerProvider)
        return traced or "opentelemetry.sdk.metrics" in sys.modules

    def span(self, verb: str) -> AbstractContextManager[object]:
        """The span of a verb."""
        span: AbstractContextManager[object] = self._tracer.start_as_current_span(f"phone_verify.{verb}")
        return span

    def count(self, event_for: VerificationEvent) -> None:
        """Count a verb, and label its span."""
        told = labels(event_for)
        self._verbs.add(1, told)
        self._seconds.record(event_for.seconds, told)
        if event_for.provider_seconds:
            self._waits.record(event_for.provider_seconds, told)
        self._trace.get_current_span().set_attributes(told)
