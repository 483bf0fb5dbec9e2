"""The pages of staff within the admin: services, accounts, deliveries of webhooks, tests and reports."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any
from urllib.parse import urlencode

from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.db import models
from django.http import Http404, HttpRequest, HttpResponseNotAllowed, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from django.utils.translation import get_language

from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.http.client_address import call_address
from phone_verify.i18n.languages import ENGLISH, named
from phone_verify.reports.base import Aggregates
from phone_verify.staff.call import File, Page, Redirect, RefusedError, Right, StaffCall
from phone_verify.staff.pages import METHODS, answer
from phone_verify.staff.rendering import message_of, render, render_parts, staff_texts, title_of, trail_of

from . import app_settings
from .calls import read_call
from .site import current_site, site_config

log = logging.getLogger("phone_verify")

_TEMPLATE = "admin/phone_verify_django/staff.html"
_SERVICES = "phone_verify_django.services"
_APP = "phone_verify_services"
#: Django's permissions for each right; one of them is enough.
_PERMISSIONS: Mapping[Right, tuple[str, ...]] = {
    Right.VIEW: (f"{_APP}.view_servicerow", f"{_APP}.change_servicerow"),
    Right.ADD: (f"{_APP}.add_servicerow",),
    Right.CHANGE: (f"{_APP}.change_servicerow",),
    Right.DELETE: (f"{_APP}.delete_servicerow",),
    Right.KEYS: (f"{_APP}.view_accesskeyrow", f"{_APP}.change_accesskeyrow"),
    Right.PAY: (f"{_APP}.add_payment",),
    Right.DELIVERIES: (f"{_APP}.view_outboxmessage", f"{_APP}.change_outboxmessage"),
    Right.RESEND: (f"{_APP}.change_outboxmessage",),
    Right.TEST: ("phone_verify_django.add_verificationrow",),
    Right.REPORTS: (f"{_APP}.view_attempt",),
}


def may(request: HttpRequest, right: Right) -> bool:
    """Return whether the user has this right. Without the app of services there are only tests."""
    if right is not Right.TEST and not apps.is_installed(_SERVICES):
        return False
    return any(request.user.has_perm(name) for name in _PERMISSIONS[right])


#: Returns the row that the admin's log names for what was changed.
Row = Callable[[str], models.Model]


def show(admin: ModelAdmin[Any], request: HttpRequest, path: str, row: Row | None = None) -> HttpResponseBase:
    """Show a page of staff, send a file, or perform a form; the admin's log gets each change with its `row`."""
    call = _call(request, path)
    if row is not None:
        call = replace(call, note=lambda what, name: admin.log_change(request, row(name[:32]), what))
    try:
        answered = answer(current_site(), call)
        if isinstance(answered, Redirect):
            return _redirected(admin, request, call, answered)
        if isinstance(answered, File):
            return _sent(request, answered)
        return _rendered(admin, request, call, answered)
    except RefusedError as refusal:
        if refusal.status == 403:
            raise PermissionDenied from None
        if refusal.status == 400:
            raise BadRequest from None
        if refusal.status == 405:
            return HttpResponseNotAllowed(METHODS)
        raise Http404 from None
    except StoreError as error:
        log.error("a page of staff could not be shown: %s", error)
        return _failed(admin, request, staff_texts(call.language)["unavailable"])
    except ConfigurationError as error:
        return _failed(admin, request, str(error))


def address(admin: ModelAdmin[Any], path: str, query: Mapping[str, str]) -> str:
    """Return the address of a page of staff in this admin site."""
    part, _, rest = path.partition("/")
    arguments: list[str] = []
    if part == "test" and (current_site().services is None or not apps.is_installed(_SERVICES)):
        name = "phone_verify_django_verificationrow_send_test"
    elif part == "keys":
        name = f"{_APP}_accesskeyrow_{'add' if rest else 'changelist'}"
    elif part == "reports":
        name = f"{_APP}_quarter_changelist"
    elif path:
        name, arguments = f"{_APP}_servicerow_page", [path]
    else:
        name = f"{_APP}_servicerow_changelist"
    found = reverse(f"admin:{name}", args=arguments, current_app=admin.admin_site.name)
    return f"{found}?{urlencode(query)}" if query else found


def parts(admin: ModelAdmin[Any], request: HttpRequest, part: str) -> str:
    """Return the navigation of the pages of staff, for another page of the admin that belongs to them."""
    return mark_safe(render_parts(current_site(), _call(request, ""), part, partial(address, admin)))  # noqa: S308


def _call(request: HttpRequest, path: str) -> StaffCall:
    site = current_site()
    return StaffCall(
        method=request.method or "GET",
        path=path,
        may=partial(may, request),
        query=request.GET.dict(),
        form=request.POST.dict() if request.method == "POST" else {},
        language=named(get_language() or "") or ENGLISH,
        author=f"user {request.user.pk}",
        session=request.session,
        address=call_address(site, read_call(request)),
        zone=timezone.get_current_timezone(),
        aggregates=lambda: _aggregates(app_settings.read().ledger),
    )


@cache
def _aggregates(url: str | None) -> Aggregates:
    """Return the aggregates in the database of this URL, with one pool of connections for the process."""
    return site_config().aggregates()


def _redirected(
    admin: ModelAdmin[Any], request: HttpRequest, call: StaffCall, redirect: Redirect
) -> HttpResponseRedirect:
    if text := message_of(call.language, redirect):
        (messages.error if redirect.is_error else messages.success)(request, text)
    response = HttpResponseRedirect(address(admin, redirect.path, redirect.query))
    response.status_code = 303
    return response


def _sent(request: HttpRequest, file: File) -> StreamingHttpResponse:
    chunks = _made_in_thread(file.chunks) if isinstance(request, ASGIRequest) else file.chunks
    return StreamingHttpResponse(chunks, headers=dict(file.headers))


async def _made_in_thread(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunks; each is made in the thread of the request, whose connections it uses, when it is sent."""
    made = iter(chunks)
    try:
        while (chunk := await sync_to_async(_next)(made)) is not None:
            yield chunk
    finally:
        if isinstance(made, Generator):
            await sync_to_async(made.close)()


def _next(chunks: Iterator[bytes]) -> bytes | None:
    return next(chunks, None)


def _rendered(admin: ModelAdmin[Any], request: HttpRequest, call: StaffCall, page: Page) -> TemplateResponse:
    token = format_html('<input type="hidden" name="csrfmiddlewaretoken" value="{}">', get_token(request))
    find = partial(address, admin)
    content = render(current_site(), call, page, frame="inside.html", address=find, csrf_field=token)
    response = _response(admin, request, content, title_of(call.language, page), page.status)
    response.context_data |= {"trail": trail_of(call, page, find)}  # type: ignore[operator]
    for name, value in page.headers.items():
        response.headers[name] = value
    return response


def _failed(admin: ModelAdmin[Any], request: HttpRequest, text: str) -> TemplateResponse:
    return _response(admin, request, format_html('<p class="errornote">{}</p>', text), "", 503)


def _response(admin: ModelAdmin[Any], request: HttpRequest, content: str, title: str, status: int) -> TemplateResponse:
    context: dict[str, Any] = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": title,
        "content": mark_safe(content),  # noqa: S308 - rendered with escaping
    }
    response = TemplateResponse(request, _TEMPLATE, context, status=status)
    response.headers["Cache-Control"] = "no-store"
    return response
