"""Error responses of the sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response


class Problem(HTTPException):
    """A response in `application/problem+json`."""

    def __init__(
        self, status: HTTPStatus, detail: str, *, fields: Mapping[str, str] | None = None, allow: str = ""
    ) -> None:
        body: dict[str, object] = {
            "type": "about:blank",
            "title": status.phrase,
            "status": status.value,
            "detail": detail,
        }
        if fields:
            body["fields"] = dict(fields)
        response = json_response(body, status)
        response.mimetype = "application/problem+json"
        if allow:
            response.headers["Allow"] = allow
        super().__init__(detail, response)
        self.status, self.detail, self.answer = status, detail, response


def json_response(body: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    response = Response(json.dumps(body), status=status, mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
