"""The example Django site with an async view that only waits for the provider, and with our views.

Run it in the folder of the site.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from asgi import application  # type: ignore[import-not-found] # the example site's, which sets Django up
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from urls import urlpatterns  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from aiohttp import ClientSession

_PROVIDER = urlsplit(os.environ["PHONE_VERIFY_SMS"])
_open: list[ClientSession] = []


@csrf_exempt
async def bare(_: HttpRequest) -> JsonResponse:
    """Make one request to the provider."""
    from aiohttp import ClientSession, TCPConnector

    if not _open:
        _open.append(ClientSession(connector=TCPConnector(limit=0)))
    async with _open[0].post(f"http://{_PROVIDER.hostname}:{_PROVIDER.port}/", data=b"{}") as response:
        await response.read()
    return JsonResponse({"status": "sent"}, status=201)


urlpatterns.append(path("bare", bare))
__all__ = ["application"]
