"""The views of the pages. `phone_verify.web.flow` decides what they show; these views do what needs Django."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, cast
from urllib.parse import urlencode

from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import render, resolve_url
from django.template.backends.utils import csrf_input
from django.urls import reverse
from django.utils.decorators import classonlymethod
from django.utils.functional import lazy
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.generic import View

from phone_verify.api import ApiRequest, AskSite, SessionUser, SetPhone, SignIn, SignOut, Site, device_cookie
from phone_verify.http.cookies import only_pair
from phone_verify.model import Redeemed
from phone_verify.web import flow
from phone_verify.web.assets import BRAND_STYLE, CLIENT, site_asset
from phone_verify.web.forms import FORM_LIMIT, incomplete_form, refused_form, wrong_method
from phone_verify.web.messages import Message, PageName

from . import accounts, actions, app_settings, calls, forms, last_number, sessions
from .site import api_mount, current_site, site_of
from .view_rules import page_rules


class PageView(View):
    """Base class of the pages. A subclass in your site replaces a page if its path comes first:

        path("phone/login/", OurLoginView.as_view()),
        path("phone/", include("phone_verify_django.urls")),

    `as_view` applies what holds for every page, so a subclass cannot lose it: CSRF protection, no
    caching, no codes in error reports, no transaction around a check.
    """

    template_name = ""
    #: The form in the template's context. Fields and rules that a site adds are validated before ours.
    form_class: type[forms.PageForm] | None = None
    #: Where to go afterwards if the request has no `next`: an address or a URL name.
    success_url: str | None = None
    extra_context: Mapping[str, Any] | None = None
    #: Limit of a form in bytes; a longer one is refused before it is read.
    max_form_size = FORM_LIMIT
    #: The path below the mount point.
    path: ClassVar[str]

    @classonlymethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:  # noqa: N805 - Django's kind of classmethod
        """Return the view function."""
        return page_rules(super().as_view(**initkwargs), lambda: cls(**initkwargs))

    @cached_property
    def site(self) -> Site:
        """The site configured in the settings, under the host of this request."""
        return site_of(self.request)

    @cached_property
    def call(self) -> ApiRequest:
        """The request as the core reads it, without the signed-in user."""
        return calls.read_call(self.request)

    @cached_property
    def user_call(self) -> ApiRequest:
        """The request as the core reads it, with the signed-in user."""
        return accounts.described(self.request, self.call)

    @cached_property
    def urls(self) -> Mapping[str, str]:
        """The addresses used by the templates."""
        # Lazy: a site may set LOGIN_REDIRECT_URL to a name that none of its URL patterns has.
        return page_urls(_mount(self.request, self.path), lazy(lambda: self.onward, str)())

    @property
    def onward(self) -> str:
        """The page of the site for a signed-in visitor who requested no other page."""
        return resolve_url(self.success_url) if self.success_url else app_settings.after_login()

    @property
    def name(self) -> PageName:
        """The name of the page in redirects."""
        return cast("PageName", self.path.removesuffix("/"))

    @cached_property
    def next(self) -> str:
        """The `next` address of the request, or an empty text unless it is on this site."""
        return _safe_next(self.request)

    def takes_files(self) -> bool:
        """Return whether `multipart/form-data` is accepted; Django writes large forms to disk."""
        return False

    def refused_form(self) -> HttpResponse | None:
        """Return the response to a form that must not be read, or None. Nothing has been parsed yet."""
        too_long = calls.form_is_longer(self.request, self.max_form_size)
        takes_files = self.takes_files() or (not too_long and calls.is_by_test_client(self.request))
        page = refused_form(self.call, too_long=too_long, takes_files=takes_files)
        return None if page is None else self._unprocessed(page, {})

    def stale_form(self) -> HttpResponse:
        """Return the response to a form whose CSRF token is missing or not valid any more."""
        page = flow.Page(texts=self.call.texts, error=self.call.texts.page["page_stale"], status=403)
        form = {**self.request.POST.dict(), "next": self.next}
        return self._unprocessed(page, form, has_token="csrfmiddlewaretoken" in form)

    def incomplete_form(self) -> HttpResponse:
        """Return the response to a form that Django cannot read."""
        return self._unprocessed(incomplete_form(self.call), {})

    def wrong_method(self) -> HttpResponse:
        """Return the response to a method that the page does not have."""
        return refusal(self.request, self.site, self.urls, wrong_method(self.call))

    def _unprocessed(self, page: flow.Page, form: Mapping[str, str], *, has_token: bool = False) -> HttpResponse:
        if flow.is_foreign_form(self.site, self.call, has_token=has_token):
            return refusal(self.request, self.site, self.urls, page)
        again = self.signs_in_again(form)
        return self.to_response(
            flow.return_unprocessed(self.site, self.user_call, self.name, form, page.error, again=again)
        )

    def signs_in_again(self, form: Mapping[str, str]) -> bool:
        """Return whether a signed-in visitor is here to sign in again: `verify/` sends users for this."""
        return form.get("next", "").partition("?")[0] == self.urls["verify"]

    def get_success_url(self) -> str:
        """Return where to go afterwards: `next`, `success_url` or the default."""
        return self.next or (resolve_url(self.success_url) if self.success_url else self.get_default_success_url())

    def get_default_success_url(self) -> str:
        """Return where to go afterwards without `next` and `success_url`."""
        return app_settings.after_login()

    def get_form_class(self) -> type[forms.PageForm] | None:
        """Return the form class, or None for a page without a form."""
        return self.form_class

    def get_form(self, page: flow.Page | None = None, data: QueryDict | None = None) -> forms.PageForm | None:
        """Return the form, for this page, bound to `data`, or both."""
        form_class = self.get_form_class()
        if form_class is None:
            return None
        return form_class(data, texts=self.call.texts, page=page, **self.get_form_kwargs())

    def get_form_kwargs(self) -> dict[str, Any]:
        """Return further keyword arguments for the site's own form."""
        return {}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the template context; `page` comes from the core."""
        return {**_context(self.request, self.site, self.urls, kwargs["page"]), "view": self, **kwargs,
                **(self.extra_context or {})}  # fmt: skip

    def render_page(self, page: flow.Page, form: forms.PageForm | None = None, **context: Any) -> HttpResponse:
        """Render the page with this form, by default `get_form`, and further template context."""
        form = form if form is not None else self.get_form(page)
        context = self.get_context_data(page=page, form=form, **context)
        response = render(self.request, self.get_template_name(page), context, status=page.status)
        self.note_started(page)
        calls.finish(self.request, response, self.site, page.headers, page.cookie)
        return response

    def get_template_name(self, page: flow.Page) -> str:
        """Return the template for this page, which can be another than this view's own."""
        return self.template_name

    def note_started(self, result: flow.Page | flow.Redirect) -> None:
        """Record the verification that this result has started, in the session."""
        if result.started is not None:
            not_entered = result.not_entered if isinstance(result, flow.Redirect) else None
            sessions.notes(self.request).keep_started(result.started, not_entered)

    @property
    def next_after_steps(self) -> str:
        """Where the further steps of a sign-in lead in the end; empty for the default of their package."""
        return self.next or (resolve_url(self.success_url) if self.success_url else "")

    def further_step(self, error: accounts.MfaRequiredError) -> HttpResponse:
        """Redirect to the step that sign-in still needs, or refuse where that step has no page."""
        return error.response or self.to_response(flow.refused_login(self.call, self.next))

    def complete_login(self, redeemed: Redeemed) -> HttpResponse:
        """Finish a sign-in by this proof: redirect, and make the browser a trusted device.

        Of the verifications in the cookie only the one that was used is left.
        """
        response = HttpResponseRedirect(self.get_success_url())
        trusted = device_cookie(self.site, self.call, redeemed, last_number.id_for_device(self.request))
        if self.call.cookie:
            left = only_pair(self.call.cookie, redeemed.verification_id)
            calls.finish(self.request, response, self.site, cookie=left)
        calls.remember(self.request, response, self.site, trusted)
        return response

    def to_response(self, result: flow.Page | flow.Redirect, form: forms.PageForm | None = None) -> HttpResponse:
        """Return the response for a result of the core. The page after a redirect shows `form` again."""
        if not isinstance(result, flow.Redirect):
            return self.render_page(result)
        response: HttpResponse = HttpResponseRedirect(str(result.address(self.urls)))
        self.note_started(result)
        if result.message is not None:
            self.keep_message(result.message, form)
        calls.finish(self.request, response, self.site, cookie=result.cookie)
        calls.remember(self.request, response, self.site, result.device_cookie)
        return response

    def keep_message(self, message: Message, form: Form | None = None) -> None:
        """Keep the message for its page in the session. With `form`, that page shows its data and errors."""
        if form is not None and message.page == self.name:
            if message.error and form.is_valid():
                main_field = getattr(form, "main_field", "")
                form.add_error(main_field if message.invalid and main_field in form.fields else None, message.error)
            message = replace(message, form=forms.kept(form))
        sessions.messages(self.request).keep(message)

    def take_message(self) -> Message | None:
        """Return the message for this page from the session, and remove it there."""
        return sessions.messages(self.request).take(self.name, self.request.GET.get("verification", ""))

    def restored_form(self, message: Message | None, page: flow.Page | None = None) -> Any:
        """Return the form for this page, as it was posted before the redirect."""
        if message is None or message.form is None:
            return self.get_form(page)
        return forms.restored(message.form, lambda data: self.get_form(page, data))

    def form_invalid(self, form: forms.PageForm) -> HttpResponse:
        """Return to the page with the first error of the site's own form."""
        posted = self.request.POST
        message = Message(
            self.name,
            flow.id_of(posted.dict()),
            error=str(next(iter(form.errors.values()))[0]),
            invalid=form.main_field in form.errors,
            phone=posted.get("phone", ""),
            channel=posted.get("channel", ""),
        )
        return self.to_response(flow.Redirect(self.name, self.next, id=message.id, message=message), form)

    def form_data(self, form: forms.PageForm | None) -> dict[str, str]:
        """Return the posted fields for the core, with the form's cleaned values."""
        cleaned = form.cleaned_data if form is not None else {}
        texts = {name: value for name, value in cleaned.items() if isinstance(value, str)}
        return {**self.request.POST.dict(), **texts, "next": self.next}


class LoginView(PageView):
    """Enter the number and choose a channel."""

    template_name = "phone_verify/login.html"
    form_class = forms.PhoneForm
    #: Whether visitors who are already signed in are redirected without seeing the page.
    redirect_authenticated_user = False
    path = "login/"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Serve the page, or redirect if the visitor is already signed in."""
        if self.redirect_authenticated_user and not self.again and sessions.user_of(request) is not None:
            to = self.get_success_url()
            if to == request.path:
                raise ValueError(
                    "LOGIN_REDIRECT_URL, or success_url, redirects back to the login page: set another page"
                )
            return HttpResponseRedirect(to)
        return super().dispatch(request, *args, **kwargs)

    @property
    def again(self) -> bool:
        """Whether a signed-in visitor is here to sign in again."""
        return self.signs_in_again({"next": self.next})

    def get(self, request: HttpRequest) -> HttpResponse:
        """Render the form, or for a signed-in visitor, that there is nothing to do."""
        message = self.take_message()
        page = flow.show_login(
            self.site, self.user_call, self.next, message, again=self.again, numbers_of=last_number.numbers_of
        )
        return self.render_page(page, self.restored_form(message, page))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Start a verification and redirect to the code page, or remove the last number from this device."""
        fieldless = "continue" in request.POST or "forget" in request.POST
        form = None if fieldless else self.get_form(data=request.POST)
        if form is not None and not form.is_valid():
            return self.form_invalid(form)
        data, numbers_of = self.form_data(form), last_number.numbers_of
        return self.to_response(flow.submit_login(self.site, self.user_call, data, numbers_of=numbers_of), form)


class CodeView(PageView):
    """Enter the code, or confirm the call: sign in, or set the number."""

    template_name = "phone_verify/code.html"
    form_class = forms.CodeForm
    path = "code/"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Render the state of the verification."""
        id, message = request.GET.get("verification", ""), self.take_message()
        page = flow.show_code(self.site, self.user_call, self.next, id, message)
        if isinstance(page, flow.Redirect):
            return self.to_response(page)
        return self.render_page(page, self.restored_form(message, page))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Check the code, resend it, or check whether the call has arrived."""
        form = self.get_form(data=request.POST) if "code" in request.POST else None
        if form is not None and not form.is_valid():
            return self.form_invalid(form)
        return self._dispatch_result(flow.submit_code(self.site, self.user_call, self.form_data(form)), form)

    def sign_in(self, action: SignIn) -> HttpResponse:
        """Sign in the user of the verified number, and redirect. The proof is already redeemed."""
        return actions.perform(self.request, action, _PageReplies(self), next_url=self.next_after_steps)

    def set_phone(self, action: SetPhone) -> HttpResponse:
        """Give the signed-in user the number, and redirect. The proof is already redeemed."""
        return actions.perform(self.request, action, _PageReplies(self))

    def _dispatch_result(
        self, result: flow.Redirect | SignIn | SetPhone | AskSite, form: forms.PageForm | None = None
    ) -> HttpResponse:
        if isinstance(result, AskSite):
            if not accounts.may_change_without_old(self.request, result.redeemed):
                return self.to_response(flow.refused_phone(self.call, self.next))
            call = replace(self.user_call, without_old=True)
            fields = {"called": "1", "next": self.next, "verification": result.redeemed.verification_id}
            return self._dispatch_result(flow.submit_code(self.site, call, fields))
        if isinstance(result, SignIn):
            return self.sign_in(result)
        return self.set_phone(result) if isinstance(result, SetPhone) else self.to_response(result, form)


@dataclass(frozen=True, slots=True)
class _PageReplies:
    """The replies of a page to a performed action."""

    view: PageView

    def session_created(self, account: accounts.Account, redeemed: Redeemed) -> HttpResponse:
        return self.view.complete_login(redeemed)

    def signup_required(self) -> HttpResponse:
        query = f"?{urlencode({'next': self.view.next})}" if self.view.next else ""
        return HttpResponseRedirect(self.view.urls["signup"] + query)

    def further_step(self, error: accounts.MfaRequiredError) -> HttpResponse:
        return self.view.further_step(error)

    def login_refused(self) -> HttpResponse:
        return self.view.to_response(flow.refused_login(self.view.call, self.view.next))

    def phone_updated(self, user: SessionUser) -> HttpResponse:
        return HttpResponseRedirect(self.view.next or self.view.urls["verify"])

    def phone_conflict(self) -> HttpResponse:
        return self.view.to_response(flow.taken_phone(self.view.call, self.view.next))

    def phone_refused(self) -> HttpResponse:
        return self.view.to_response(flow.refused_phone(self.view.call, self.view.next))

    def signed_out(self) -> HttpResponse:
        view = self.view
        to = view.get_success_url()
        response = HttpResponseRedirect(to)
        if to.partition("?")[0] == view.urls["login"]:
            view.keep_message(flow.signed_out(view.call))
        calls.finish(view.request, response, view.site, cookie="" if view.call.cookie else None)
        return response


class VerifyView(PageView):
    """Verify or change the number of the signed-in user."""

    template_name = "phone_verify/verify.html"
    form_class = forms.PhoneForm
    path = "verify/"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Render the user's current number and a field for another one."""
        message = self.take_message()
        page = flow.show_verify(self.site, self.user_call, self.next, message)
        if isinstance(page, flow.Redirect):
            return self.to_response(page)
        return self.render_page(page, self.restored_form(message, page))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Start a verification and redirect to the code page."""
        fieldless = "confirm" in request.POST or "sign_out_others" in request.POST or self.user_call.user is None
        form = None if fieldless else self.get_form(data=request.POST)
        if form is not None and not form.is_valid():
            return self.form_invalid(form)
        result = flow.submit_verify(self.site, self.user_call, self.form_data(form))
        if isinstance(result, flow.SignOutOthers):
            sessions.end_others(request)
            result = flow.signed_out_others(self.call, self.next)
        return self.to_response(result, form)


class LogoutView(PageView):
    """Confirm on GET, sign out on POST."""

    template_name = "phone_verify/logout.html"
    path = "logout/"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Render the question. A link does not sign out, since any site can contain one."""
        return self.render_page(flow.show_logout(self.call, self.next, self.take_message()))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sign out."""
        return actions.perform(request, SignOut(), _PageReplies(self))

    def get_default_success_url(self) -> str:
        """Return `LOGOUT_REDIRECT_URL`, or the login page."""
        return app_settings.after_logout() or self.urls["login"]

    @property
    def onward(self) -> str:
        """The page of the site for a visitor who stays signed in."""
        return app_settings.after_login()


def refusal(request: HttpRequest, site: Site, urls: Mapping[str, str], page: flow.Page) -> HttpResponse:
    """Return a page that only says why the request was refused."""
    response = render(request, "phone_verify/refused.html", _context(request, site, urls, page), status=page.status)
    # Django would set a cookie for the token of a form in the page, or with CSRF_USE_SESSIONS begin a session, and
    # that would replace the visitor's if another site posted the form.
    request.META["CSRF_COOKIE_NEEDS_UPDATE"] = False
    return response


def _context(request: HttpRequest, site: Site, urls: Mapping[str, str], page: flow.Page) -> dict[str, object]:
    return {
        "page": page,
        "urls": urls,
        "csrf_field": csrf_input(request),
        "site_name": site.name,
        "brand": site.brand,
        "lang": page.language.tag,
        "dir": page.language.direction,
    }


def _mount(request: HttpRequest, path: str) -> str:
    """Return the path under which our URLs are included, also for a view that the site has put elsewhere."""
    if request.path.endswith(f"/{path}"):
        return calls.mount_of(request, path)
    return reverse("phone_verify:login").removesuffix("login/")


def page_urls(mount: str, onward: str) -> Mapping[str, str]:
    """Return the addresses that the templates use."""
    files = {"style": "phone_verify.css", "script": "phone_verify.js", "brand_style": BRAND_STYLE}
    api = api_mount() or mount
    return {
        "api": api,
        "client": f"{api}static/{CLIENT}?v={version(CLIENT)}",
        **{name: f"{mount}{name}/" for name in ("login", "code", "signup", "verify", "logout")},
        "sign_in": app_settings.sign_in_url(),
        "onward": onward,
        **{kind: f"{mount}static/{name}?v={version(name)}" for kind, name in files.items()},
    }


def version(name: str) -> str:
    """Return the version of a style sheet or script in its address; empty if there is none of this name."""
    found = site_asset(name, current_site())
    return version_of(found[0]) if found else ""


def version_of(content: bytes) -> str:
    """Return the version of a file with this content."""
    return hashlib.sha256(content).hexdigest()[:12]


def _safe_next(request: HttpRequest) -> str:
    """Return the `next` address of the request, or an empty text unless it is on this site."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if safe else ""
