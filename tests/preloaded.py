"""An example site whose store and database were used in the process that is forked later, as with `--preload`."""

from __future__ import annotations

import io
import json
import sys
from wsgiref.util import setup_testing_defaults

from wsgi import application  # type: ignore[import-not-found]

__all__ = ["application"]

_BODY = json.dumps({"phone": "+989120009999"}).encode()


def _start() -> None:
    environ: dict[str, object] = {}
    setup_testing_defaults(environ)
    environ |= {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/phone/v1/verifications",
        "HTTP_HOST": "127.0.0.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(_BODY)),
        "wsgi.input": io.BytesIO(_BODY),
    }
    statuses: list[str] = []
    response = application(environ, lambda status, headers, error=None: statuses.append(status))
    list(response)
    # Not closed: the connections that Django would close at the end of the request are to be inherited.
    if statuses[0][:3] not in ("201", "429"):  # another worker may have been first
        sys.exit(f"the first start was answered by {statuses[0]}")


_start()
