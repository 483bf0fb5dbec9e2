"""Our style sheets and script, served without the site's static files."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from django.utils.functional import lazy
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import condition

from phone_verify.web.assets import asset_headers, site_asset
from phone_verify.web.forms import not_found, wrong_method

from . import app_settings, calls
from .site import current_site
from .view_rules import refused_method
from .views import page_urls, refusal, version_of

_YEAR = 365 * 24 * 3600
_SAFE_METHODS = ("GET", "HEAD")


@login_not_required
@csrf_exempt
def static(request: HttpRequest, name: str) -> HttpResponse:
    """Serve our style sheets or script. The address contains its version, so browsers can cache it."""
    site, call = current_site(), calls.read_call(request)
    urls = page_urls(calls.mount_of(request, f"static/{name}"), lazy(app_settings.after_login, str)())
    if request.method not in _SAFE_METHODS:
        response = refused_method(refusal(request, site, urls, wrong_method(call)), _SAFE_METHODS)
    elif (found := site_asset(name, site, request.GET)) is None:
        response = refusal(request, site, urls, not_found(call))
    else:
        response = _asset(request, *found)
        for header, value in asset_headers(site, name, request.headers.get("Origin")).items():
            if header == "Vary":
                patch_vary_headers(response, [value])
            else:
                response.headers[header] = value
        return response
    add_never_cache_headers(response)
    calls.protect(request, response, site, app_settings.other_origins(None))
    return response


def _etag(request: HttpRequest, content: bytes, content_type: str) -> str:
    return f'"{version_of(content)}"'


@condition(etag_func=_etag)
def _asset(request: HttpRequest, content: bytes, content_type: str) -> HttpResponse:
    response = HttpResponse(content, content_type=content_type)
    current = request.GET.get("v") == version_of(content)
    response.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable" if current else "no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
