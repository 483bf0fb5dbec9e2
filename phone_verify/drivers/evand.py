"""Evand (Iran): a code in an SMS that Evand generates and checks. A token for the participant is
the proof.

Two hosts: one sends the code, the other issues tokens, to the site for sending and to the
participant for a right code (the provider's blog, posts under the label "sms"). The blog's samples
end before the replies, so the parsing here follows OAuth2 (RFC 6749, section 5), and is marked
*assumed* where the RFC is silent too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar

from ..errors import FailureKind, ProviderError, UnclearError
from ..exchange import Exchange, HttpRequest, HttpResponse, cached_token, is_token
from ..model import Channel, CodeSource, Order, ProviderAccount, Receipt
from ..phone import PhoneNumber
from .base import Ability, NationalDriver
from .options import Dsn, Option
from .reading import reference_of, trouble_of_status

#: OAuth2's errors (RFC 6749, section 5.2) that no code and no number can cause, whichever the HTTP
#: status.
_ERRORS = {
    "invalid_client": FailureKind.CONFIGURATION,
    "unauthorized_client": FailureKind.CONFIGURATION,
    "unsupported_grant_type": FailureKind.CONFIGURATION,
    "invalid_scope": FailureKind.CONFIGURATION,
}

#: HTTP statuses of a grant for a wrong or expired code (assumed: OAuth2 says 400, other resources
#: of this API say 422).
_WRONG_CODE = (400, 422)

#: An HTTP 422 of a send means a bad number only if its text clearly says so: it may equally mean a
#: missing field.
_NUMBER_WORD = re.compile(r"شماره|تلفن|موبایل|\b(mobile|phone|number)\b", re.IGNORECASE)
_FAULT_WORD = re.compile(
    r"نامعتبر|معتبر نیست|معتبر نمی|اشتباه|نادرست|صحیح نیست|\b(invalid|incorrect|wrong|not valid)\b", re.IGNORECASE
)

_SEND = "/mobile/verification-codes"
_TOKENS = "/api/oauth2/token"
_CONNECT_HOST = "connect.evand.com"
_LONGEST_LIFE = 24 * 60 * 60
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
_PREFIX = re.compile(r"[!-~]*")

#: Five digits that are valid for two minutes (the provider's blog).
_ABILITIES = {Channel.SMS: Ability(CodeSource.REMOTE_CHECK, fixed_length=5, cap=timedelta(seconds=120))}


def _field_name(text: str) -> str:
    if not _FIELD.fullmatch(text):
        raise ValueError("write the name of a JSON field, of letters, digits and _")
    return text


def _event(text: str) -> str:
    if reference_of(text) is None:
        raise ValueError("write the id of the event: 1 to 64 printable ASCII characters without spaces")
    return text


def _prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError("write one word of printable ASCII, or nothing")
    return text


@dataclass(frozen=True)
class Evand(NationalDriver):
    """SMS codes that Evand sends and checks, for the participants of one event."""

    scheme: ClassVar[str] = "evand"
    provider: ClassVar[str] = "Evand"
    default_host: ClassVar[str | None] = "api.evand.com"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("client_id", "client_secret"),)
    options: ClassVar[Mapping[str, Option]] = {
        **NationalDriver.options,
        "event_id": Option("", _event, example="1001", required=True, meaning="the id of the event"),
        # No source shows the header; scripts for other resources of this API send only the token.
        "auth_prefix": Option(
            "Bearer", _prefix, meaning="the word before the token in `Authorization`; nothing for the token alone"
        ),
        # The body of a send is cut off in the blog; this is the name that the grant uses.
        "mobile_field": Option("mobile", _field_name, meaning="the name of the field with the number in a send"),
    }
    calling_codes: ClassVar[frozenset[str] | None] = frozenset({"98"})
    takes_user_tokens: ClassVar[bool] = True
    order_options: ClassVar[Mapping[str, Option]] = {"event_id": options["event_id"]}

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    event_id: str
    auth_prefix: str
    mobile_field: str
    #: As `base_url`, for tokens: a separate host only if the DSN uses the provider's default host.
    token_base_url: str = field(repr=False)

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS with a code of five digits that the provider checks."""
        return _ABILITIES

    def start(self, order: Order) -> Exchange[Receipt]:
        """Request a code; any 2xx means that it is being sent (assumed: the blog shows no reply).

        The user's own token is used if the order has one, else one of the site's, which is kept for
        the lifetime that the provider names.

        The send does not name the event. One that came with the order becomes its reference, because
        the exchange names it.
        """
        event = order.options.get("event_id")
        try:
            yield from self._ordered(order)
        except UnclearError as error:
            raise UnclearError(str(error), reference=event) from None
        return Receipt(reference=event)

    def kept_options(self, reference: str) -> Mapping[str, Any]:
        """Return the event that came with the order."""
        return {"event_id": reference}

    def _ordered(self, order: Order) -> Exchange[None]:
        mobile = self.written(order.phone)
        tokens = [order.user_token or (yield from self._client_token())]
        response = yield self._send(mobile, tokens[-1])
        if response.status == 401:
            # The token has expired or was revoked since it was issued: retry with a new one of the
            # site's.
            tokens.append((yield from self._client_token(*tokens)))
            response = yield self._send(mobile, tokens[-1])
        if not response.ok:
            raise self._send_refusal(response, *tokens)

    def check(self, phone: PhoneNumber, code: str, reference: str | None = None) -> Exchange[bool]:
        """Return whether the provider issues a token for this code. The token is discarded: it
        opens the participant's account.

        Also False if the number belongs to no participant of the event; the provider does not
        distinguish these. The reference is the event that came with the order.
        """
        event = reference or self.event_id
        response = yield self._grant(
            "event_mobile_verification",
            {"mobile": self.written(phone), "mobile_verification_code": code, "event_id": event},
        )
        if response.ok:
            if _token(response) is None:
                raise UnclearError("evand: the response to a code has no readable access_token")
            return True
        refusal = self._refusal(response)
        if response.status in _WRONG_CODE and refusal.trouble is not FailureKind.CONFIGURATION:
            return False
        raise refusal

    def account(self) -> Exchange[ProviderAccount]:
        """Return whether the credentials obtain a token; the provider does not report a balance."""
        yield from self._new_token()
        return ProviderAccount()

    def _client_token(self, *refused: str) -> Exchange[str]:
        """Return a token for the site that is not among the refused ones."""
        return cached_token("client", lambda: self._new_token(*refused), refused)

    def _new_token(self, *tokens: str) -> Exchange[tuple[str, timedelta]]:
        """Request a token for the site with these credentials; return it with its lifetime, zero if
        it is unknown. Nothing was sent yet, so every failure here is a refusal.
        """
        try:
            response = yield self._grant("client_credentials", {})
        except UnclearError as error:
            raise ProviderError(FailureKind.TRANSIENT, f"no token: {error}") from None
        if not response.ok:
            raise self._refusal(response, *tokens)
        token = _token(response)
        if token is None:
            raise ProviderError(FailureKind.UNKNOWN, f"HTTP {response.status} without a readable access_token")
        return token, _lifetime(response)

    def _send(self, mobile: str, token: str) -> HttpRequest:
        authorization = f"{self.auth_prefix} {token}" if self.auth_prefix else token
        return HttpRequest.post_json(
            self.base_url + _SEND, {self.mobile_field: mobile}, {"Authorization": authorization}
        )

    def _grant(self, grant_type: str, fields: Mapping[str, str]) -> HttpRequest:
        client = {"grant_type": grant_type, "client_id": self.client_id, "client_secret": self.client_secret}
        return HttpRequest.post_json(self.token_base_url + _TOKENS, {**client, **fields})

    def _send_refusal(self, response: HttpResponse, *tokens: str) -> ProviderError:
        refusal = self._refusal(response, *tokens)
        said = refusal.detail
        if response.status == 422 and _NUMBER_WORD.search(said) and _FAULT_WORD.search(said):
            return ProviderError(FailureKind.BAD_NUMBER, said)
        return refusal

    def _refusal(self, response: HttpResponse, *tokens: str) -> ProviderError:
        document = response.json()
        fields = document if isinstance(document, dict) else {}
        error, message = (part if isinstance(part, str) else "" for part in map(fields.get, ("error", "message")))
        refusal = trouble_of_status(response, self.redact(f"{error} {message}", *tokens))
        return ProviderError(_ERRORS.get(error, refusal.trouble), refusal.detail)

    @classmethod
    def _options(cls, dsn: Dsn, setting: str) -> dict[str, Any]:
        token_place = replace(dsn, host=dsn.host or _CONNECT_HOST)
        return super()._options(dsn, setting) | {"token_base_url": cls._base_url(token_place, setting)}


def _token(response: HttpResponse) -> str | None:
    """Return the access token of a response; None if it is missing, or accompanied by an error."""
    document = response.json()
    if not isinstance(document, dict) or document.get("error"):
        return None
    token = document.get("access_token")
    return token if isinstance(token, str) and is_token(token) else None


def _lifetime(response: HttpResponse) -> timedelta:
    seconds = response.json().get("expires_in")
    # A longer one saves nothing, and a revoked token would be refused more often.
    return timedelta(seconds=min(seconds, _LONGEST_LIFE)) if type(seconds) is int and seconds > 0 else timedelta(0)


DRIVER = Evand
