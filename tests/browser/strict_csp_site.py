"""An example site's application under the strictest policy that its pages must pass: no inline code, no other host.

A separate process imports it in the folder of the example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def strict(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Return the application with the policy added to every response."""

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, ("Content-Security-Policy", POLICY)], *rest)

        return application(environ, start)

    return guarded


def __getattr__(name: str) -> Any:
    if name != "application":
        raise AttributeError(name)
    from wsgi import application

    return strict(application)
