"""The rules of views that redeem proofs, and of all pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar, cast

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest, RequestDataTooBig, TooManyFieldsSent
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.cache import add_never_cache_headers
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from . import app_settings, calls, primary, site_requirements

#: Raised when Django parses a form that is malformed, or has more than its own limits allow.
_UNREADABLE = (BadRequest, RequestDataTooBig, TooManyFieldsSent, UnreadablePostError)
_METHODS = ("GET", "HEAD", "POST")

ViewFunction = TypeVar("ViewFunction", bound=Callable[..., Any])


def outside_transactions(view: ViewFunction) -> ViewFunction:
    """Exempt the view from ATOMIC_REQUESTS, so that an error cannot roll back an attempt or a redemption.

    It reads what it decides by from the database that is written.
    """
    view = primary.reading(view)
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def refused_method(response: HttpResponse, allowed: Sequence[str]) -> HttpResponse:
    """Return the response with the methods that the page has."""
    response.headers["Allow"] = ", ".join(allowed)
    return response


def _unserved(request: HttpRequest, page: Any) -> HttpResponse | None:
    """Return the page's response to a request whose method or form it does not accept, or None."""
    if request.method not in _METHODS:
        return refused_method(page.wrong_method(), _METHODS)
    response: HttpResponse | None = page.refused_form() if request.method == "POST" else None
    if response is None and not _is_readable(request):
        response = page.incomplete_form()
    return response


def _is_readable(request: HttpRequest) -> bool:
    """Return whether Django can parse the form, which it parses when it is first read."""
    try:
        return request.POST is not None
    except _UNREADABLE:
        return False


class _CsrfCheck(CsrfViewMiddleware):
    """Django's check, which returns the reason of a failure and leaves the answer to the page."""

    def _reject(self, request: HttpRequest, reason: str) -> str:
        return reason


def page_rules(view: ViewFunction, make_page: Callable[..., Any]) -> ViewFunction:
    """Apply what holds for every page: CSRF protection, no caching, no codes in error reports.

    `make_page` creates an instance of the view's class, whose `refused_form` decides whether the
    form may be read. That comes before Django's CSRF check, which parses the form: the view is
    exempt from the site's CsrfViewMiddleware, and the check is made here. A form that fails it is
    answered by the page (`stale_form`). A POST is redirected with 303.
    """
    decorated: Any = login_not_required(view)

    @wraps(decorated)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        site_requirements.require_session(request)
        page = make_page()
        page.setup(request, *args, **kwargs)
        response = _unserved(request, page)
        if response is None:
            csrf = _CsrfCheck(decorated)
            csrf.process_request(request)
            failed = csrf.process_view(request, decorated, args, kwargs) is not None
            response = page.stale_form() if failed else decorated(request, *args, **kwargs)
            csrf.process_response(request, response)
        if request.method == "POST" and response.status_code == HTTPStatus.FOUND:
            response.status_code = HTTPStatus.SEE_OTHER
        add_never_cache_headers(response)
        calls.protect(request, response, page.site, app_settings.other_origins(page.success_url))
        return response

    # The answer to a form that is not processed reads the form too, and is not within `decorated`.
    marked: Any = sensitive_post_parameters()(sensitive_variables()(guarded))
    result: ViewFunction = outside_transactions(csrf_exempt(cast("ViewFunction", marked)))
    return result
