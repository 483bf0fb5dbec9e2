"""`v1/verifications`: start, get, check, resend, cancel."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from ..codes import TAG_LENGTH
from ..errors import InvalidPhoneError
from ..http.call import ApiRequest, ApiResponse
from ..http.client_address import call_address
from ..http.client_facts import client_facts
from ..http.cookies import presented_secrets, secret_for, with_pair
from ..http.csrf import cross_site
from ..http.number_change import current_numbers, read_number
from ..http.problems import invalid, problem, refusal
from ..http.session_notes import with_id
from ..http.site import Site
from ..i18n.languages import named
from ..i18n.texts import PAGE
from ..lines import other_phone_called
from ..model import Channel, Outcome, Started, is_id
from ..phone import is_region
from ..verifier.operations import AsyncVerifier
from . import bodies
from .idempotency import Sent, idempotency_key, of_resend, of_start, once, sent
from .key_limits import refused_order
from .representation import verification
from .services import service_of_start
from .session import not_signed_in

#: The header of a verification whose line another phone has called within the last minute. The body
#: has a fixed set of fields.
OTHER_CALLER = "Phone-Verify-Other-Caller"


async def start(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse:
    """POST v1/verifications: 201 with the verification and, only here, its secret."""
    optional = ["region", "purpose", "channel", "locale", "service"]
    if flows.policy.combines or flows.services.exist:
        optional.append("proof")
    order = bodies.parse_order(call, ["phone"], optional, takes_extra=flows.has_before_send)
    if isinstance(order, ApiResponse):
        return order
    fields, extra = order
    if extra:
        call = replace(call, extra=extra)
    if "region" in fields:
        fields["region"] = fields["region"].upper()
    purpose = fields.get("purpose", "login")
    if refused := refused_order(flows, call, fields):
        return refused
    if wrong := [name for name, fits in _FORMS.items() if name in fields and not fits(fields[name])]:
        return invalid(" ".join(f"Invalid value for: {name}. Allowed: {_ALLOWED[name]}." for name in wrong), *wrong)
    found = await service_of_start(site, flows, fields.get("service"))
    if isinstance(found, ApiResponse):
        return found
    flows = found
    if "proof" in fields and not flows.policy.combines:
        return invalid("This service takes no proof of another verification.", "proof")
    if purpose not in (allowed := flows.services.accepted(site.purposes.names)):
        return invalid(f"Unknown purpose. Allowed: {', '.join(allowed)}.", "purpose")
    if isinstance(key := idempotency_key(call), ApiResponse):
        return key
    if forged := cross_site(call, site):
        return forged
    if call.user is None and call.access_key is None and site.purposes.needs_user(purpose):
        return not_signed_in(call)
    try:
        phone = read_number(call, flows.policy, fields["phone"], region=fields.get("region", ""))
    except InvalidPhoneError:
        return problem(400, "invalid_phone", PAGE["invalid_phone"], fields=["phone"])
    language = named(fields.get("locale", "")) or call.texts.language

    async def send() -> Sent | ApiResponse:
        result = await flows.start(
            phone,
            purpose=purpose,
            channel=Channel(fields["channel"]) if "channel" in fields else None,
            locale=language.tag,
            address=call_address(site, call),
            shown=presented_secrets(call),
            trusted_device=call.device_cookie,
            subject=call.user.id if call.user is not None else "",
            owned=phone in current_numbers(call),
            by_client=True,
            proof=fields.get("proof"),
            client=client_facts(site, call),
            oauth_client=call.client,
            access_key=call.key_id,
        )
        if isinstance(result, Started):
            return sent(result, secret=result.secret)
        return refusal(result, keyed=call.access_key is not None)

    def respond(document: Mapping[str, object], same_session: bool) -> ApiResponse:
        id = str(document["id"])
        cookie = (
            with_pair(call.cookie, id, str(document["secret"])) if not call.client and call.access_key is None else None
        )
        started = with_id(call.started, id) if call.has_session and same_session else None
        return ApiResponse(201, document, cookie=cookie, started=started)

    body = {**fields, "extra": extra}
    keyed = of_start(site, call, key, body, flows.tag(phone)) if key else None
    return await once(flows, call, keyed, send, respond)


async def get(site: Site, flows: AsyncVerifier, call: ApiRequest, id: str) -> ApiResponse:
    """GET v1/verifications/{id}: 200.

    Queries the provider of an open inbound call, every three seconds at most, and moves an order to
    another channel if the site has set that; not for a request of another site. A header says that
    another phone has called the line.
    """
    outcome = await flows.poll(
        id,
        secret_for(call, id),
        may_send=cross_site(call, site) is None,
        address=call_address(site, call),
        client=client_facts(site, call),
        oauth_client=call.client,
        access_key=call.key_id,
    )
    answer, record = _answer(outcome), outcome.verification
    if record is not None and other_phone_called(record):
        return replace(answer, headers={**answer.headers, OTHER_CALLER: "1"})
    return answer


async def check(site: Site, flows: AsyncVerifier, call: ApiRequest, id: str) -> ApiResponse:
    """POST v1/verifications/{id}/check: 200 with the proof, or 422 with the attempts left."""
    fields = bodies.parse_body(call, ["code"])
    if isinstance(fields, ApiResponse):
        return fields
    if forged := cross_site(call, site):
        return forged
    return _answer(
        await flows.check(
            id,
            secret_for(call, id),
            fields["code"],
            address=call_address(site, call),
            oauth_client=call.client,
            access_key=call.key_id,
        )
    )


async def resend(site: Site, flows: AsyncVerifier, call: ApiRequest, id: str) -> ApiResponse:
    """POST v1/verifications/{id}/resend: 200."""
    order = bodies.parse_order(call, [], ["channel"], may_be_empty=True, takes_extra=flows.has_before_send)
    if isinstance(order, ApiResponse):
        return order
    fields, extra = order
    if extra:
        call = replace(call, extra=extra)
    if refused := refused_order(flows, call, fields):
        return refused
    if "channel" in fields and not _FORMS["channel"](fields["channel"]):
        return invalid(f"Unknown channel. Allowed: {_ALLOWED['channel']}.", "channel")
    if isinstance(key := idempotency_key(call), ApiResponse):
        return key
    if forged := cross_site(call, site):
        return forged
    channel = Channel(fields["channel"]) if "channel" in fields else None
    secret, address = secret_for(call, id), call_address(site, call)

    async def send() -> Sent | ApiResponse:
        owned = False
        if own := current_numbers(call):
            record = (await flows.get(id, secret)).verification
            owned = record is not None and record.phone in own
        outcome = await flows.resend(
            id,
            secret,
            channel=channel,
            address=address,
            owned=owned,
            by_client=True,
            client=client_facts(site, call),
            oauth_client=call.client,
            access_key=call.key_id,
        )
        return sent(outcome) if outcome.ok else refusal(outcome, keyed=call.access_key is not None)

    keyed = of_resend(call, key, {**fields, "extra": extra}, secret, id[:TAG_LENGTH]) if key and is_id(id) else None
    return await once(flows, call, keyed, send, lambda document, _: ApiResponse(200, document))


async def cancel(site: Site, flows: AsyncVerifier, call: ApiRequest, id: str) -> ApiResponse:
    """DELETE v1/verifications/{id}: 204, also if it has already ended."""
    if forged := cross_site(call, site):
        return forged
    outcome = await flows.cancel(id, secret_for(call, id))
    return ApiResponse(204) if outcome.ok else refusal(outcome)


def _answer(outcome: Outcome) -> ApiResponse:
    return ApiResponse(200, verification(outcome)) if outcome.ok else refusal(outcome)


#: Validators of the optional fields.
_FORMS: dict[str, Callable[[str], bool]] = {
    "region": is_region,
    "channel": lambda text: text in {channel.value for channel in Channel},
    "service": lambda text: re.fullmatch(r"[a-z][a-z0-9_]{0,31}", text, re.ASCII) is not None,
}
_ALLOWED = {
    "region": "an ISO 3166 code like IR",
    "channel": ", ".join(Channel),
    "service": "the name of a service, like default",
}
