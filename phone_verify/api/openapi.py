"""The OpenAPI description, read once from `openapi.yaml` and served as JSON."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from ..http.call import ApiRequest, ApiResponse
from ..http.site import Site
from ..verifier.operations import AsyncVerifier


@cache
def openapi() -> dict[str, Any]:
    """Return the description of the API, OpenAPI 3.1."""
    import yaml

    document: dict[str, Any] = yaml.safe_load(files(__package__).joinpath("openapi.yaml").read_text("utf-8"))
    return document


async def show(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse:
    """GET v1/openapi.json."""
    return ApiResponse(200, openapi())
