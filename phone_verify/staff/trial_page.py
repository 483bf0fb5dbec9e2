"""The page on which staff send a test and follow it step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..api.representation import dial, seconds_left
from ..errors import InvalidPhoneError
from ..http.site import Site
from ..i18n.texts import texts_in
from ..model import Channel, Outcome
from . import trial
from .call import Page, Redirect, Right, StaffCall, require, text_of
from .trial import Trial, TrialError

#: The key in the session.
SESSION_KEY = "phone_verify_test"
_FIELDS = ("service", "key", "channel", "number")


def show(site: Site, call: StaffCall) -> Page | Redirect:
    """Show the form or the current test; or perform the action of a button."""
    require(call, Right.TEST)
    kept = call.session.get(SESSION_KEY)
    current = Trial.read(kept) if kept else None
    if not call.is_post:
        return _page(site, current, {"service": site.service}, {})
    if "start" in call.form:
        return _start(site, call, current)
    if current is None or "new" in call.form:
        call.session.pop(SESSION_KEY, None)
        return Redirect("test/")
    try:
        outcome = _act(site, call, current)
    except TrialError as error:
        return Redirect("test/", error.problem, is_error=True)
    detail = texts_in(call.language).refusal(outcome)
    return Redirect("test/", "test_refused" if detail else "", is_error=bool(detail), detail=detail)


def _act(site: Site, call: StaffCall, current: Trial) -> Outcome:
    if "check" in call.form:
        return trial.check(site, current, text_of(call.form, "code", 32), call.address)
    if "again" in call.form:
        outcome, changed = trial.resend(site, current)
        call.session[SESSION_KEY] = changed.kept()
        return outcome
    return trial.cancel(site, current)


def _start(site: Site, call: StaffCall, current: Trial | None) -> Page | Redirect:
    if site.services is not None:
        # Another process may have saved the service a moment ago. Only here, where the right to test was asked for:
        # anyone could otherwise make every request look at the rows.
        site.services.read_again()
    values = {"service": site.service, **{name: text_of(call.form, name, 64) for name in _FIELDS if name in call.form}}
    values = {name: values.get(name, "") for name in _FIELDS}
    if values["channel"] and values["channel"] not in site.verifier.channels:
        return _page(site, None, values, {"channel": "test_no_channel"}, status=422)
    try:
        phone = trial.read_phone(site, values["number"])
        outcome, begun = trial.start(
            site,
            phone,
            service=values["service"],
            key=values["key"],
            channel=Channel(values["channel"]) if values["channel"] else None,
            locale=call.language.tag,
            subject=call.author,
            earlier=current,
        )
    except InvalidPhoneError:
        return _page(site, None, values, {"number": "test_bad_number"}, status=422)
    except TrialError as error:
        return _page(site, None, values, {error.field: error.problem}, status=422)
    call.session[SESSION_KEY] = begun.kept()
    call.note("Test sent.", begun.service)
    detail = texts_in(call.language).refusal(outcome)
    return Redirect("test/", "test_refused" if detail else "", is_error=bool(detail), detail=detail)


def _page(
    site: Site, current: Trial | None, values: Mapping[str, str], errors: Mapping[str, str], status: int = 200
) -> Page:
    state = None
    try:
        state = trial.state_of(site, current) if current is not None else None
    except TrialError as error:
        errors = {error.field: error.problem}
    shown: dict[str, Any] = {"trial": current, "state": state, "values": values, "errors": errors}
    if state is None:
        shown |= {
            "services": trial.services_of(site),
            "keys": trial.keys_of(site),
            "channels": site.verifier.channels,
        }
    else:
        shown |= {"dial": dial(state.record), "seconds": seconds_left(state.record, state.record.expires_at)}
    return Page("test.html", "test", "test", shown, status)
