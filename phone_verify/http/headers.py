"""The headers of a request, read from the environment of WSGI only when they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

_PREFIX = "HTTP_"
#: WSGI has these two without the prefix (PEP 3333).
_WITHOUT_PREFIX = ("CONTENT_TYPE", "CONTENT_LENGTH")


class EnvironHeaders(Mapping[str, str]):
    """The headers in WSGI's `environ`, or in Django's `META`, by their names in lower case.

    A call reads few of them, and a browser sends twenty.
    """

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        value: str = self._environ[_key(name)]
        return value

    # `Mapping` would raise and catch an error for each header that is not there, as most are.
    def get(self, name: str, default: Any = None) -> Any:
        """Return the header, or the default without it."""
        return self._environ.get(_key(name), default)

    def __iter__(self) -> Iterator[str]:
        for key in self._environ:
            name = key.removeprefix(_PREFIX)
            # `HTTP_CONTENT_TYPE` is a header Content_Type, with an underscore, and not the content type.
            if key in _WITHOUT_PREFIX or (name != key and name not in _WITHOUT_PREFIX):
                yield name.replace("_", "-").lower()

    def __len__(self) -> int:
        return sum(1 for _ in self)


@lru_cache(maxsize=64)
def _key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in _WITHOUT_PREFIX else _PREFIX + key
