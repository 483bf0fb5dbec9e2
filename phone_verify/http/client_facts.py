"""What the core learns of the request that triggers an order: for the site's `before_send`, and for the SMS."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from ..before_send import ClientFacts
from .call import ApiRequest
from .client_address import whole_address
from .cookies import HEADER
from .site import Site

#: Limits of further fields: the answer to a captcha has up to 2,000 characters, an
#: attestation of a device several times that.
MOST_EXTRA = 10
LONGEST_EXTRA = 8192
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
#: JSON can contain lone ones, which no encoder of a request to a captcha's service accepts.
_SURROGATE = re.compile("[\ud800-\udfff]")
#: The client chooses what replaces a wildcard, and each segment of an SMS is billed.
_LONGEST_SUBDOMAIN = 63
#: An origin as browsers report it, with its host. The origins of IPv6 addresses have no host for the line of an SMS.
_WEB_ORIGIN = re.compile(r"https?://([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::[0-9]{1,5})?", re.ASCII)
#: The fields of the pages' forms.
_OURS = frozenset({
    "phone", "channel", "next", "continue", "forget", "confirm", "sign_out_others", "code", "verification", "called",
    "resend", "by_itself", "asks_remember", "remember", "frame_top", "csrfmiddlewaretoken", "csrf_token",
})  # fmt: skip
_CREDENTIALS = frozenset(
    {"cookie", "authorization", "proxy-authorization", "authentication-token", "x-csrftoken", "x-csrf-token", HEADER}
)


def client_facts(site: Site, call: ApiRequest) -> ClientFacts:
    """Return the facts of this call: no more than the host of its page if the site has no `before_send`."""
    facts = ClientFacts(page_host=_page_host(site, call), top_host=_top_host(site, call))
    if not site.verifier.has_before_send:
        return facts
    headers = {name: value for name, value in call.headers.items() if name not in _CREDENTIALS}
    return replace(facts, address=whole_address(site, call), headers=headers, extra=call.extra, access_key=call.key_id)


def with_form(site: Site, call: ApiRequest, form: Mapping[str, str]) -> ApiRequest:
    """Return the call of a page with the form's further fields, and the frame that its script names."""
    top = form.get("frame_top", "")[:LONGEST_EXTRA]
    if not site.verifier.has_before_send:
        return replace(call, top=top) if top else call
    extra = {name: value for name, value in form.items() if name not in _OURS and _fits(name, value)}
    return replace(call, top=top, extra=dict(list(extra.items())[:MOST_EXTRA]))


def is_extra(value: object) -> bool:
    """Return whether this value of a JSON body can be passed to `before_send`."""
    return (
        isinstance(value, dict)
        and len(value) <= MOST_EXTRA
        and all(isinstance(text, str) and _fits(name, text) for name, text in value.items())
    )


def _fits(name: str, value: str) -> bool:
    named = bool(_NAME.fullmatch(name)) and "password" not in name.lower()
    return named and len(value) <= LONGEST_EXTRA and not _SURROGATE.search(value)


def _page_host(site: Site, call: ApiRequest) -> str | None:
    """Return the host of the page that calls the API if it is of another origin, which the site lists."""
    origin = call.headers.get("origin")
    if origin is None or origin not in site.trusted_origins or not origin.startswith("https://"):
        return None
    return urlsplit(origin).hostname


def _top_host(site: Site, call: ApiRequest) -> str | None:
    """Return the host of the page that shows ours in a frame, if the site lists it.

    The browser reports that the form is in a frame; which page that is in, only the script can say.
    """
    if not call.top or call.headers.get("sec-fetch-dest", "iframe") != "iframe":
        return None
    origin = call.top.lower()
    # A parser of URLs finds other hosts than the end of the text suggests: https://a[v1.host].partner.example.
    shape = _WEB_ORIGIN.fullmatch(origin)
    return shape[1] if shape is not None and _is_listed(origin, site.frame_ancestors) else None


def _is_listed(origin: str, ancestors: Sequence[str]) -> bool:
    """Return whether this origin is one of the sources of `frame-ancestors`."""
    scheme, _, host = origin.partition("://")
    for source in ancestors:
        listed_scheme, _, listed = source.partition("://")
        if scheme != listed_scheme:
            continue
        if host == listed:
            return True
        if listed.startswith("*.") and host.endswith(listed[1:]) and 0 <= len(host) - len(listed) < _LONGEST_SUBDOMAIN:
            return True
    return False
