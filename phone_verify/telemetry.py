"""OpenTelemetry, where its API is installed: a counter, two histograms, and a span a verb.

Only the API is used, so that nothing leaves the process unless the site has set up an SDK.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.util import find_spec

from .events import Events, Happened, Listener, labels

_NAME = "phone_verify"


def instrumented(listeners: tuple[Listener, ...] = ()) -> Events:
    """Events that go to these listeners, and to OpenTelemetry if it is there."""
    if find_spec("opentelemetry") is None:
        return Events(listeners)
    from opentelemetry.metrics import get_meter
    from opentelemetry.trace import get_current_span, get_tracer

    meter, tracer = get_meter(_NAME), get_tracer(_NAME)
    verbs = meter.create_counter("phone_verify.verbs", description="Verbs that have ended, by outcome")
    seconds = meter.create_histogram("phone_verify.duration", unit="s", description="How long a verb took")
    waits = meter.create_histogram("phone_verify.provider.duration", unit="s", description="What providers took of it")

    def count(happened: Happened) -> None:
        told = labels(happened)
        verbs.add(1, told)
        seconds.record(happened.seconds, told)
        if happened.provider_seconds:
            waits.record(happened.provider_seconds, told)
        get_current_span().set_attributes(told)

    def span(verb: str) -> AbstractContextManager[object]:
        return tracer.start_as_current_span(f"phone_verify.{verb}")

    return Events((*listeners, count), span)
