"""The API and the pages. What they say is decided in `phone_verify.api`; here Django's part is done."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, wraps
from typing import Any, ClassVar, Protocol, TypeVar, cast
from urllib.parse import urlencode

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import logout as django_logout
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connections, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import render, resolve_url
from django.template.backends.utils import csrf_input
from django.urls import reverse
from django.utils.decorators import classonlymethod
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import condition, require_http_methods, require_safe
from django.views.generic import View

from phone_verify.api import (
    ApiRequest,
    ApiResponse,
    AskSite,
    SetPhone,
    SignIn,
    SignOut,
    Site,
    answered,
    device_cookie,
    invalid_proof,
    mfa_required,
    needs_user,
    phone_conflict,
    phone_updated,
    refused,
    signed_in,
    signed_out,
    signup_required,
)
from phone_verify.http.cookies import only_pair
from phone_verify.http.problems import invalid, problem, unavailable
from phone_verify.model import Redeemed
from phone_verify.sync import run
from phone_verify.verifier import AsyncVerifier
from phone_verify.web import flow
from phone_verify.web.assets import asset
from phone_verify.web.forms import FORM_LIMIT, refused_form

from . import accounts, app_settings, calls, forms, pending_signup, sessions
from .rights import StaffPhoneError
from .site import current_site

log = logging.getLogger("phone_verify")

ViewFunction = TypeVar("ViewFunction", bound=Callable[..., Any])
T = TypeVar("T")

_YEAR = 365 * 24 * 3600


def _outside_transactions(view: ViewFunction) -> ViewFunction:
    """With ATOMIC_REQUESTS an error after a wrong or right code would give the attempt, or the code, back."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def _page(view: ViewFunction, made: Callable[..., PageView]) -> ViewFunction:
    """What holds for every page: forms only from our own pages, nothing kept in caches, no code in error reports.

    `made` makes an instance of the view's class, which is asked whether the form may be read at all. That comes before
    Django's check of the token, which parses the form: the view is exempt from the site's CsrfViewMiddleware,
    and the check is made here.
    """
    decorated: Any = login_not_required(sensitive_variables()(view))
    decorated = require_http_methods(["GET", "HEAD", "POST"])(decorated)
    decorated = sensitive_post_parameters()(csrf_protect(never_cache(decorated)))

    @wraps(decorated)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        page = made()
        page.setup(request, *args, **kwargs)
        response = page.refused_form() if request.method == "POST" else None
        if response is None:
            response = decorated(request, *args, **kwargs)
        calls.protect(request, response, page.site, app_settings.other_origins(page.success_url))
        return response

    result: ViewFunction = _outside_transactions(csrf_exempt(cast("ViewFunction", guarded)))
    return result


def _call(view: ViewFunction) -> ViewFunction:
    """What holds for every call of the API. Forgery is refused by the API's own rule; no token is needed."""
    decorated: Any = login_not_required(csrf_exempt(sensitive_post_parameters()(sensitive_variables()(view))))
    result: ViewFunction = _outside_transactions(decorated)
    return result


@_call
def api(request: HttpRequest, path: str) -> HttpResponse:
    """Every call under `v1/` and `webhooks/`."""
    site = current_site()
    return calls.response(request, site, path, run(_reply(request, site, path, site.verifier.flows, _here)))


@_call
async def aapi(request: HttpRequest, path: str) -> HttpResponse:
    """As `api`, awaited: no thread waits for a provider. `urls` says which of the two is called."""
    site = current_site()
    return calls.response(request, site, path, await _reply(request, site, path, site.async_verifier, _in_thread))


class PageView(View):
    """What the pages share. A view of the site's own takes the place of one of ours where its path comes first:

        path("phone/login/", OurLoginView.as_view()),
        path("phone/", include("phone_verify_django.urls")),

    What holds for every page is put around the view by `as_view`, so that no subclass can lose it: forms only from our
    own pages, nothing kept in caches, no code in error reports, no transaction around a check.
    """

    template_name = ""
    #: The form in the template's context; fields and rules that a site adds are asked before ours.
    form_class: type[forms.PageForm] | None = None
    #: Where to go when it is done and the visitor wanted nowhere else: an address or the name of one.
    success_url: str | None = None
    extra_context: Mapping[str, Any] | None = None
    #: Bytes of a form; a longer one is refused before it is read.
    max_form_size = FORM_LIMIT
    #: The path below the mount.
    path: ClassVar[str]

    @classonlymethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:  # noqa: N805 - Django's kind of classmethod
        """The view function."""
        return _page(super().as_view(**initkwargs), lambda: cls(**initkwargs))

    @cached_property
    def site(self) -> Site:
        """The site that the settings describe."""
        return current_site()

    @cached_property
    def call(self) -> ApiRequest:
        """The request as the core reads it, without who is signed in."""
        return calls.page_call(self.request)

    @cached_property
    def users_call(self) -> ApiRequest:
        """The request as the core reads it, with who is signed in."""
        return accounts.described(self.request, self.call)

    @cached_property
    def urls(self) -> Mapping[str, str]:
        """The addresses that the templates name."""
        return _urls(_mount(self.request, self.path))

    @cached_property
    def next(self) -> str:
        """Where the visitor wanted to go, if that is on this site."""
        return _safe_next(self.request)

    def takes_files(self) -> bool:
        """Whether a form of `multipart/form-data` is read; Django writes large ones to disk."""
        return False

    def refused_form(self) -> HttpResponse | None:
        """The answer to a form that must not be read, or None. Nothing of the form has been parsed yet."""
        too_long = calls.form_is_longer(self.request, self.max_form_size)
        takes_files = self.takes_files() or (not too_long and calls.is_by_test_client(self.request))
        page = refused_form(self.call, too_long=too_long, takes_files=takes_files)
        if page is None:
            return None
        context = _context(self.request, self.site, self.urls, page)
        return never_cache(render)(self.request, "phone_verify/refused.html", context, status=page.status)

    def get_success_url(self) -> str:
        """Where to go when it is done."""
        return self.next or (resolve_url(self.success_url) if self.success_url else self.get_default_success_url())

    def get_default_success_url(self) -> str:
        """Where to go when it is done, and neither the visitor nor the view has said so."""
        return app_settings.after_login()

    def get_form_class(self) -> type[forms.PageForm] | None:
        """The form's class, or None for a page without."""
        return self.form_class

    def get_form(self, page: flow.Page | None = None, data: QueryDict | None = None) -> forms.PageForm | None:
        """The form: to be shown on this page, or to read what was posted, or both."""
        made = self.get_form_class()
        return made(data, texts=self.call.texts, page=page, **self.get_form_kwargs()) if made else None

    def get_form_kwargs(self) -> dict[str, Any]:
        """What a form of the site's own is made with, besides."""
        return {}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """What the template is shown with; `page` is the core's."""
        return {**_context(self.request, self.site, self.urls, kwargs["page"]), "view": self, **kwargs,
                **(self.extra_context or {})}  # fmt: skip

    def shown(self, page: flow.Page, form: forms.PageForm | None = None) -> HttpResponse:
        """The page as a response."""
        form = form if form is not None else self.get_form(page)
        return self.rendered(page, self.get_context_data(page=page, form=form))

    def get_template_name(self, page: flow.Page) -> str:
        """The template for what the core shows, which may be another page than this view's."""
        return self.template_name

    def rendered(self, page: flow.Page, context: dict[str, Any]) -> HttpResponse:
        """The page as a response, with this context."""
        response = render(self.request, self.get_template_name(page), context, status=page.status)
        self.noted(page)
        calls.finish(self.request, response, self.site, self.urls["mount"], page.headers, page.cookie)
        return response

    def noted(self, answer: flow.Page | flow.Redirect) -> None:
        """Let the session note which verifications it has started."""
        if answer.started is not None:
            sessions.notes(self.request).keep_started(answer.started)

    @property
    def next_after_steps(self) -> str:
        """Where the further steps of a sign-in lead in the end; an empty text leaves it to their package."""
        return self.next or (resolve_url(self.success_url) if self.success_url else "")

    def further_step(self, error: accounts.MfaRequiredError) -> HttpResponse:
        """Redirect to the step that sign-in still needs, or refuse where that step has no page."""
        return error.response or self.shown(flow.refused_login(self.site, self.call, self.next))

    def entered(self, redeemed: Redeemed) -> HttpResponse:
        """Redirect the user who has just signed in by this proof, and make the browser a trusted device.

        Of the verifications in the cookie only the one that was used is left.
        """
        response = HttpResponseRedirect(self.get_success_url())
        known = device_cookie(self.site, self.call, redeemed)
        if self.call.cookie:
            left = only_pair(self.call.cookie, redeemed.verification_id)
            calls.finish(self.request, response, self.site, self.urls["mount"], cookie=left)
        calls.remember(self.request, response, self.site, self.urls["mount"], known)
        return response

    def answered(self, answer: flow.Page | flow.Redirect) -> HttpResponse:
        """What the core answered, as a response."""
        if isinstance(answer, flow.Redirect):
            response: HttpResponse = HttpResponseRedirect(answer.address(self.urls))
            self.noted(answer)
            calls.finish(self.request, response, self.site, self.urls["mount"], cookie=answer.cookie)
            return response
        if self.request.method != "POST":
            return self.shown(answer)
        form = self.get_form(answer, self.request.POST)
        if form is not None and answer.error and form.is_valid():
            about_field = answer.status in (400, 422) and form.main_field in form.fields
            form.add_error(form.main_field if about_field else None, answer.error)
        return self.shown(answer, form)

    def refused(self, page: flow.Page | flow.Redirect, form: forms.PageForm) -> HttpResponse:
        """The page again, where a rule of the site's own form was not met."""
        if isinstance(page, flow.Redirect):
            return self.answered(page)
        error = next(iter(form.errors.values()))[0]
        page = replace(page, error=str(error), status=400)
        return self.shown(page, self.get_form(page, self.request.POST))

    def fields(self, form: forms.PageForm | None) -> dict[str, str]:
        """What was posted, for the core: as the form has cleaned it, where there is one."""
        cleaned = form.cleaned_data if form is not None else {}
        texts = {name: value for name, value in cleaned.items() if isinstance(value, str)}
        return {**self.request.POST.dict(), **texts, "next": self.next}


class LoginView(PageView):
    """Type the number, and choose the way."""

    template_name = "phone_verify/login.html"
    form_class = forms.PhoneForm
    #: Whether somebody who is signed in already goes on at once.
    redirect_authenticated_user = False
    path = "login/"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Show or take the form, unless there is nothing to sign in for."""
        # Whoever comes from `verify/` was sent here to sign in again.
        again = self.next.partition("?")[0] == self.urls["verify"]
        if self.redirect_authenticated_user and not again and sessions.user_of(request) is not None:
            to = self.get_success_url()
            if to == request.path:
                raise ValueError("LOGIN_REDIRECT_URL, or success_url, leads back to the login page: name another page")
            return HttpResponseRedirect(to)
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        """The empty page."""
        return self.answered(flow.show_login(self.site, self.call, self.next))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Send, and go to the page of the code."""
        form = self.get_form(data=request.POST)
        if form is not None and not form.is_valid():
            return self.refused(flow.show_login(self.site, self.call, self.next), form)
        return self.answered(flow.submit_login(self.site, self.users_call, self.fields(form)))


class CodeView(PageView):
    """Type the code, or call the number: be signed in, or be given the number."""

    template_name = "phone_verify/code.html"
    #: For what is said after the code: that the site does not let somebody in, that the number is somebody else's.
    login_template_name = LoginView.template_name
    verify_template_name = "phone_verify/verify.html"
    form_class = forms.CodeForm
    path = "code/"

    def get_template_name(self, page: flow.Page) -> str:
        """The template for what the core shows."""
        if isinstance(page, flow.VerifyPage):
            return self.verify_template_name
        return self.login_template_name if isinstance(page, flow.LoginPage) else self.template_name

    def get(self, request: HttpRequest) -> HttpResponse:
        """How the verification stands."""
        return self._dispatch_result(flow.show_code(self.site, self.users_call, self.next))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Judge the code, or send again, or look whether the call came."""
        form = self.get_form(data=request.POST) if "code" in request.POST else None
        if form is not None and not form.is_valid():
            page = flow.show_code(self.site, self.users_call, self.next)
            if isinstance(page, (flow.CodePage, flow.Redirect)):
                return self.refused(page, form)
        return self._dispatch_result(flow.submit_code(self.site, self.users_call, self.fields(form)))

    def sign_in(self, answer: SignIn) -> HttpResponse:
        """Sign the phone's user in, and go on. The proof is burnt."""
        request = self.request
        if pending_signup.wait(request, answer.redeemed, answer.remember):
            query = f"?{urlencode({'next': self.next})}" if self.next else ""
            return HttpResponseRedirect(self.urls["signup"] + query)
        try:
            account = accounts.sign_in(
                request, answer.redeemed, remember=answer.remember, next_url=self.next_after_steps
            )
        except accounts.MfaRequiredError as error:
            return self.further_step(error)
        if account is None:
            return self.shown(flow.refused_login(self.site, self.call, self.next))
        return self.entered(answer.redeemed)

    def set_phone(self, answer: SetPhone) -> HttpResponse:
        """Give the number to whoever is signed in, and go on. The proof is burnt."""
        request = self.request
        try:
            given = accounts.set_phone(request, answer.redeemed)
        except StaffPhoneError:
            return self.answered(flow.refused_phone(self.site, self.users_call, self.next))
        if given is None:
            return self.answered(flow.taken_phone(self.site, self.users_call, self.next))
        return HttpResponseRedirect(self.next or self.urls["verify"])

    def _dispatch_result(self, answer: flow.Page | flow.Redirect | SignIn | SetPhone | AskSite) -> HttpResponse:
        if isinstance(answer, AskSite):
            if not accounts.may_change_without_old(self.request, answer.redeemed):
                return self.answered(flow.refused_phone(self.site, self.users_call, self.next))
            call = replace(self.users_call, without_old=True)
            return self._dispatch_result(flow.submit_code(self.site, call, {"called": "1", "next": self.next}))
        if isinstance(answer, SignIn):
            return self.sign_in(answer)
        return self.set_phone(answer) if isinstance(answer, SetPhone) else self.answered(answer)


class VerifyView(PageView):
    """Whoever is signed in confirms the number, or changes it."""

    template_name = "phone_verify/verify.html"
    form_class = forms.PhoneForm
    path = "verify/"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The own number, and a field for another."""
        return self.answered(flow.show_verify(self.site, self.users_call, self.next))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Send, and go to the page of the code."""
        fieldless = "confirm" in request.POST or "sign_out_others" in request.POST
        form = None if fieldless else self.get_form(data=request.POST)
        if form is not None and not form.is_valid():
            return self.refused(flow.show_verify(self.site, self.users_call, self.next), form)
        answer = flow.submit_verify(self.site, self.users_call, self.fields(form))
        if isinstance(answer, flow.SignOutOthers):
            sessions.end_others(request)
            answer = flow.signed_out_others(self.site, self.users_call, self.next)
        return self.answered(answer)


class LogoutView(PageView):
    """Ask on GET, sign out on POST."""

    template_name = "phone_verify/logout.html"
    path = "logout/"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The question: a link alone, which any site may show, signs nobody out."""
        return self.shown(flow.show_logout(self.call, self.next))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sign out."""
        django_logout(request)
        response = HttpResponseRedirect(self.get_success_url())
        calls.finish(request, response, self.site, self.urls["mount"], cookie="" if self.call.cookie else None)
        return response

    def get_default_success_url(self) -> str:
        """Where the settings say, or the login page."""
        return app_settings.after_logout() or self.urls["login"]


def _etag(request: HttpRequest, name: str) -> str | None:
    version = _version(name)
    return f'"{version}"' if version else None


@login_not_required
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


async def _reply(request: HttpRequest, site: Site, path: str, flows: AsyncVerifier, runs: _Runs) -> ApiResponse:
    try:
        call = calls.read_call(request, path)
        if needs_user(path, call.method, has_session=settings.SESSION_COOKIE_NAME in request.COOKIES):
            call = await runs(accounts.described, request, call)
    except OSError:
        return invalid("The body did not arrive whole.")
    except DatabaseError as error:
        return _database_down(error)
    answer = await answered(site, flows, call)
    try:
        if isinstance(answer, AskSite):
            allowed = await runs(accounts.may_change_without_old, request, answer.redeemed)
            answer = await answered(site, flows, replace(call, without_old=allowed))
        if isinstance(answer, ApiResponse):
            sessions.notes(request).keep_started(answer.started)
            return answer
        return await runs(_done, request, site, call, answer)
    except DatabaseError as error:
        return _database_down(error)
    except Exception:
        log.exception("signing in or out has failed; the proof stays burnt")
        return problem(500, "internal_error", "Something went wrong on our side.")


def _done(request: HttpRequest, site: Site, call: ApiRequest, answer: SignIn | SetPhone | SignOut) -> ApiResponse:
    if isinstance(answer, SignOut):
        django_logout(request)
        return signed_out(call)
    if isinstance(answer, SetPhone):
        try:
            user = accounts.set_phone(request, answer.redeemed)
        except StaffPhoneError:
            return invalid_proof()
        if user is None:
            return phone_conflict()
        return phone_updated(user)
    try:
        account = accounts.sign_in(request, answer.redeemed)
    except accounts.MfaRequiredError as error:
        return mfa_required(call, error.response.headers["Location"] if error.response else None)
    if account is None:
        return signup_required(call) if pending_signup.wait(request, answer.redeemed) else refused(call)
    return signed_in(site, call, answer.redeemed, account.user, created=account.created)


def _database_down(error: DatabaseError) -> ApiResponse:
    # The kind only: a database's own words can hold values.
    log.error("the database of accounts and sessions did not answer: %s", type(error).__name__)
    return unavailable()


def _context(request: HttpRequest, site: Site, urls: Mapping[str, str], page: flow.Page) -> dict[str, object]:
    return {
        "page": page,
        "urls": urls,
        "csrf_field": csrf_input(request),
        "site_name": site.name,
        "lang": page.language.tag,
        "dir": page.language.direction,
    }


def _mount(request: HttpRequest, path: str) -> str:
    """Where our URLs are included; for a view that a site has put elsewhere, by the name of one of them."""
    if request.path.endswith(f"/{path}"):
        return calls.mount_of(request, path)
    return reverse("phone_verify:login").removesuffix("login/")


def _urls(mount: str) -> Mapping[str, str]:
    files = {"style": "phone_verify.css", "script": "phone_verify.js"}
    return {
        "mount": mount,
        **{name: f"{mount}{name}/" for name in ("login", "code", "signup", "verify", "logout")},
        "sign_in": app_settings.sign_in_url(),
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
