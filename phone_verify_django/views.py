"""The API and the pages. What they say is decided in `phone_verify.api`; here Django's part is done."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

from asgiref.sync import sync_to_async
from django.contrib.auth import logout as django_logout
from django.db import DatabaseError, connections, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.backends.utils import csrf_input
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import condition, require_http_methods, require_safe

from phone_verify.api import (
    Call,
    Reply,
    SetPhone,
    SignIn,
    SignOut,
    Site,
    answered,
    invalid_proof,
    known_cookie,
    pages,
    phone_set,
    phone_taken,
    refused,
    signed_in,
    signed_out,
)
from phone_verify.api.problems import invalid, problem, unavailable
from phone_verify.verifier import Flows, run
from phone_verify.web.assets import asset

from . import accounts, calls, conf
from .backends import has_rights_over_others

log = logging.getLogger("phone_verify")

View = TypeVar("View", bound=Callable[..., Any])
T = TypeVar("T")

_YEAR = 365 * 24 * 3600


def _outside_transactions(view: View) -> View:
    """With ATOMIC_REQUESTS an error after a wrong or right code would give the attempt, or the code, back."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def _page(view: View) -> View:
    """What holds for every page: forms only from our own pages, nothing kept in caches, no code in error reports."""
    decorated: Any = sensitive_variables()(view)
    decorated = require_http_methods(["GET", "HEAD", "POST"])(decorated)
    decorated = sensitive_post_parameters()(csrf_protect(never_cache(decorated)))
    result: View = _outside_transactions(decorated)
    return result


def _call(view: View) -> View:
    """What holds for every call of the API. Forgery is refused by the API's own rule; no token is needed."""
    decorated: Any = csrf_exempt(sensitive_post_parameters()(sensitive_variables()(view)))
    result: View = _outside_transactions(decorated)
    return result


@_call
def api(request: HttpRequest, path: str) -> HttpResponse:
    """Every call under `v1/` and `webhooks/`."""
    site = conf.site()
    return calls.response(request, site, path, run(_reply(request, site, path, site.verifier.flows, _here)))


@_call
async def aapi(request: HttpRequest, path: str) -> HttpResponse:
    """As `api`, awaited: no thread waits for a provider. `urls` says which of the two is called."""
    site = conf.site()
    return calls.response(request, site, path, await _reply(request, site, path, site.async_verifier, _in_thread))


@_page
def login(request: HttpRequest) -> HttpResponse:
    """Type the number, and choose the way."""
    site, call, next = conf.site(), calls.page_call(request), _safe_next(request)
    if request.method == "POST":
        answer = pages.submit_login(site, call, {**request.POST.dict(), "next": next})
    else:
        answer = pages.show_login(site, call, next)
    return _shown(request, site, "login/", answer)


@_page
def code(request: HttpRequest) -> HttpResponse:
    """Type the code, or call the number, and be signed in."""
    site, call, next = conf.site(), calls.page_call(request), _safe_next(request)
    if request.method == "POST":
        answer = pages.submit_code(site, call, {**request.POST.dict(), "next": next})
    else:
        answer = pages.show_code(site, call, next)
    if not isinstance(answer, SignIn):
        return _shown(request, site, "code/", answer)
    if accounts.sign_in(request, answer.redeemed) is None:
        return _shown(request, site, "code/", pages.refused_login(site, call, next))
    response = HttpResponseRedirect(next or conf.after_login())
    calls.remember(response, site, calls.mount_of(request, "code/"), known_cookie(site, call, answer.redeemed))
    return response


@_page
def logout(request: HttpRequest) -> HttpResponse:
    """Ask on GET, sign out on POST."""
    next = _safe_next(request)
    if request.method != "POST":
        page = pages.show_logout(calls.page_call(request), next)
        return render(request, "phone_verify/logout.html", _context(request, conf.site(), "logout/", page))
    django_logout(request)
    return HttpResponseRedirect(next or conf.after_logout() or _urls(calls.mount_of(request, "logout/"))["login"])


def _etag(request: HttpRequest, name: str) -> str | None:
    version = _version(name)
    return f'"{version}"' if version else None


@require_safe
@condition(etag_func=_etag)
def static(request: HttpRequest, name: str) -> HttpResponse:
    """Our style sheet or script. The address names its version, so that browsers may keep it."""
    found = asset(name)
    if found is None:
        raise Http404(f"there is no {name!r} here")
    response = HttpResponse(found[0], content_type=found[1])
    current = request.GET.get("v") == _version(name)
    response.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable" if current else "no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


class _Runs(Protocol):
    """Runs what asks the database of accounts and sessions."""

    async def __call__(self, function: Callable[..., T], *args: Any) -> T: ...


async def _here(function: Callable[..., T], *args: Any) -> T:
    return function(*args)


async def _in_thread(function: Callable[..., T], *args: Any) -> T:
    return await sync_to_async(function)(*args)


async def _reply(request: HttpRequest, site: Site, path: str, flows: Flows, runs: _Runs) -> Reply:
    # Nothing else needs to know who is signed in: a start looks at no session and no account.
    asks_who = (path, request.method) in (("v1/session", "GET"), ("v1/session", "HEAD"), ("v1/session/phone", "PUT"))
    try:
        call = calls.read_call(request, path)
        if asks_who:
            call = await runs(_with_user, request, call)
    except OSError:
        return invalid("The body did not arrive whole.")
    except DatabaseError as error:
        return _database_down(error)
    answer = await answered(site, flows, call)
    if isinstance(answer, Reply):
        return answer
    try:
        return await runs(_done, request, site, call, answer)
    except DatabaseError as error:
        return _database_down(error)
    except Exception:
        log.exception("signing in or out has failed; the proof stays burnt")
        return problem(500, "internal_error", "Something went wrong on our side.")


def _with_user(request: HttpRequest, call: Call) -> Call:
    user = accounts.signed_in(request)
    return replace(call, user=user, signed_in_for=accounts.signed_in_for(request) if user else None)


def _done(request: HttpRequest, site: Site, call: Call, answer: SignIn | SetPhone | SignOut) -> Reply:
    if isinstance(answer, SignOut):
        django_logout(request)
        return signed_out()
    if isinstance(answer, SetPhone):
        if answer.redeemed.by_fixed_code and has_rights_over_others(request.user):
            return invalid_proof()
        user = accounts.set_phone(request, answer.redeemed)
        return phone_taken() if user is None else phone_set(user)
    account = accounts.sign_in(request, answer.redeemed)
    if account is None:
        return refused(call)
    return signed_in(site, call, answer.redeemed, account.user, created=account.created)


def _database_down(error: DatabaseError) -> Reply:
    # The kind only: a database's own words can hold values.
    log.error("the database of accounts and sessions did not answer: %s", type(error).__name__)
    return unavailable()


def _shown(
    request: HttpRequest, site: Site, path: str, answer: pages.LoginPage | pages.CodePage | pages.Redirect
) -> HttpResponse:
    mount = calls.mount_of(request, path)
    if isinstance(answer, pages.Redirect):
        query = f"?{urlencode({'next': answer.next})}" if answer.next else ""
        response: HttpResponse = HttpResponseRedirect(_urls(mount)[answer.to] + query)
        calls.finish(response, site, mount, cookie=answer.cookie)
        return response
    template = "phone_verify/login.html" if isinstance(answer, pages.LoginPage) else "phone_verify/code.html"
    response = render(request, template, _context(request, site, path, answer), status=answer.status)
    calls.finish(response, site, mount, answer.headers, answer.cookie)
    return response


def _context(request: HttpRequest, site: Site, path: str, page: pages.Page) -> dict[str, object]:
    return {
        "page": page,
        "urls": _urls(calls.mount_of(request, path)),
        "csrf_field": csrf_input(request),
        "site_name": site.name,
        "lang": page.language.tag,
        "dir": page.language.direction,
    }


def _urls(mount: str) -> Mapping[str, str]:
    files = {"style": "phone_verify.css", "script": "phone_verify.js"}
    return {
        "mount": mount,
        **{name: f"{mount}{name}/" for name in ("login", "code", "logout")},
        **{kind: f"{mount}static/{name}?v={_version(name)}" for kind, name in files.items()},
    }


def _version(name: str) -> str:
    found = asset(name)
    return hashlib.sha256(found[0]).hexdigest()[:12] if found else ""


def _safe_next(request: HttpRequest) -> str:
    """Where the visitor wanted to go, if that is on this site."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if safe else ""
