"""Sign-in by phone through django-allauth's login stages, wherever `allauth.account` is installed.

The stages are allauth's: the second factor of `allauth.mfa`, an email address to verify, a stage of
the site. The verified number is kept in allauth's pending login, in its arguments of the signal
`user_logged_in`, so that it takes effect for exactly that login and only when the login has ended.
"""

from __future__ import annotations

import logging
from typing import Any

from allauth.account.adapter import get_adapter  # type: ignore[import-untyped]
from allauth.account.internal.flows.login import (  # type: ignore[import-untyped]
    perform_login,
    record_authentication,
)
from allauth.account.internal.stagekit import (  # type: ignore[import-untyped]
    LOGIN_SESSION_KEY,
    clear_login,
)
from allauth.account.models import Login  # type: ignore[import-untyped]
from allauth.account.signals import user_logged_in  # type: ignore[import-untyped]
from allauth.account.stages import LoginStageController  # type: ignore[import-untyped]
from allauth.core.exceptions import ImmediateHttpResponse  # type: ignore[import-untyped]
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.auth.base_user import AbstractBaseUser
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import NoReverseMatch

from phone_verify.adoption.user_names import user_name
from phone_verify.api import device_cookie
from phone_verify.model import Assurance, Redeemed

from .. import accounts, app_settings, calls, kept_proof, last_number, pending_login
from ..site import current_site

log = logging.getLogger("phone_verify")

#: The argument of allauth's signal `user_logged_in` that holds what the login has verified.
ARGUMENT = "phone_verify"

_NO_URLS = "no page of django-allauth can complete this sign-in by phone; include allauth.urls in the root URLconf: %s"


def sign_in(
    request: HttpRequest,
    user: AbstractBaseUser,
    redeemed: Redeemed,
    *,
    created: bool,
    adds: bool,
    remember: bool | None,
    next_url: str,
) -> bool:
    """Sign this user in through allauth's stages. Return False if allauth refuses the user.

    Raises `MfaRequiredError` if a stage is pending. Until that stage has ended no user is signed in,
    not even the user who was signed in before.
    """
    request.session.pop(LOGIN_SESSION_KEY, None)  # drop an earlier pending login
    before = dict(request.session.items())
    _record(request, user, redeemed)
    pending_login.note(request, user, redeemed.phone)
    note_verified(request, user, redeemed)
    login = Login(
        user=user,
        redirect_url=next_url or None,
        signup=created,
        signal_kwargs=argument(redeemed, adds=adds, remember=remember, on_our_page=True),
    )
    response = _perform(request, login)
    if pending_login.SESSION_KEY not in request.session:  # the login has ended: every login deletes the mark
        return SESSION_KEY in request.session
    if LOGIN_SESSION_KEY not in request.session:
        clear_login(request)
        pending_login.forget(request)
        return False
    if SESSION_KEY in before:
        # allauth shows the page of a stage only to anonymous visitors.
        written = {name: value for name, value in request.session.items() if before.get(name) != value}
        logout(request)
        request.session.update(written)
    else:
        request.session.cycle_key()
    raise accounts.MfaRequiredError(response if isinstance(response, HttpResponseRedirect) else None)


def is_complete(request: HttpRequest, user: AbstractBaseUser, redeemed: Redeemed, *, created: bool) -> bool:
    """Return whether allauth would sign this user in without a further step. The session stays as it is."""
    session = request.session
    request.session = type(session)()  # never saved, so that no login is left pending
    login = Login(user=user, signup=created)
    try:
        _record(request, user, redeemed)
        refusal = get_adapter().pre_login(
            request,
            user,
            email_verification=login.email_verification,
            signal_kwargs=None,
            email=None,
            signup=created,
            redirect_url=None,
        )
        return not refusal and not LoginStageController(request, login).handle()
    except ImmediateHttpResponse:
        return False
    except NoReverseMatch as error:
        log.error(_NO_URLS, error)
        return False
    finally:
        request.session = session


def note_verified(request: HttpRequest, user: AbstractBaseUser, redeemed: Redeemed) -> None:
    """Record that a login of this user has verified a number in the current request."""
    request.phone_verify_login = (user.pk, redeemed)  # type: ignore[attr-defined]


def verified_in(request: HttpRequest, user: AbstractBaseUser) -> Redeemed | None:
    """Return what a login of this user has verified in the current request, or None."""
    user_id, redeemed = getattr(request, "phone_verify_login", (None, None))
    return redeemed if user_id == user.pk else None


def argument(redeemed: Redeemed, *, adds: bool, remember: bool | None, on_our_page: bool) -> dict[str, Any]:
    """Return the arguments of allauth's signal for a login that has verified this number.

    `adds`: the user did not have the number yet. `on_our_page`: our cookie for trusted devices is
    set when the login has ended.
    """
    kept = {
        **kept_proof.as_values(redeemed),
        "adds": adds,
        "remember": remember,
        "on_our_page": on_our_page,
    }
    return {ARGUMENT: kept}


@receiver(user_logged_in, dispatch_uid="phone_verify_django.allauth.login")
def _complete(request: HttpRequest, user: Any, response: HttpResponse | None = None, **arguments: Any) -> None:
    kept = arguments.get(ARGUMENT)
    redeemed = kept_proof.from_values(kept)
    if kept is None or redeemed is None:
        return
    if not accounts.complete_sign_in(request, user, redeemed, adds=kept["adds"], remember=kept["remember"]):
        name = user_name(user.pk, redeemed.phone)
        log.warning("a login by phone was refused at its end: its number no longer signs in %s", name)
        logout(request)
        raise ImmediateHttpResponse(HttpResponseRedirect(app_settings.sign_in_url()))
    if kept["on_our_page"] and response is not None:
        _remember_device(request, redeemed, response)


def _remember_device(request: HttpRequest, redeemed: Redeemed, response: HttpResponse) -> None:
    site = current_site()
    trusted = device_cookie(site, calls.read_call(request), redeemed, last_number.id_for_device(request))
    calls.remember(request, response, site, trusted)


def _record(request: HttpRequest, user: AbstractBaseUser, redeemed: Redeemed) -> None:
    """Record the step as allauth does. A caller ID is not a code for allauth."""
    method = "code" if redeemed.assurance is Assurance.CODE else "phone_call"
    record_authentication(request, user, method=method, phone=redeemed.phone.e164)


def _perform(request: HttpRequest, login: Any) -> HttpResponse | None:
    try:
        response: HttpResponse = perform_login(request, login)
    except ImmediateHttpResponse as error:  # the site's adapter refuses before the first stage
        response = error.response
    except NoReverseMatch as error:
        log.error(_NO_URLS, error)
        return None
    return response
