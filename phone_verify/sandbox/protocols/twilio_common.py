"""What the two protocols of Twilio share: credentials, error bodies, times and signatures."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs

from phone_verify.sandbox.protocols.base import MISSING, Answer, RefusedError, Visit
from phone_verify.sandbox.webhooks import FORM, Hook, hmac_base64, sha256_hex

#: Signs the webhooks of an account whose client has an API key, and so does not send the auth token.
SIGNING_KEY: Final = "SANDBOX"
SIGNATURE: Final = "X-Twilio-Signature"
#: Iran, Cuba and Syria, to which Twilio does not deliver.
_EMBARGOED: Final = ("+98", "+53", "+963")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_ACCOUNT = re.compile(r"AC\w+", re.ASCII)
_API_KEY = re.compile(r"SK\w+", re.ASCII)


def admit(visit: Visit, account: str | None = None) -> str:
    """Reject wrong credentials, and those of another account than the path's; return the user."""
    user, password = visit.basic()
    if not (_ACCOUNT.fullmatch(user) or _API_KEY.fullmatch(user)):
        raise RefusedError(visit.provider.credentials[MISSING])
    visit.admit(password)
    if account is not None and (not _ACCOUNT.fullmatch(account) or (user.startswith("AC") and user != account)):
        raise RefusedError(visit.provider.credentials[MISSING])
    return user


def signing_token(visit: Visit) -> str:
    """Return the auth token of the account that sent the request."""
    user, password = visit.basic()
    return password if user.startswith("AC") else SIGNING_KEY


def form_of(visit: Visit) -> Mapping[str, str]:
    """Return the form. A body of another type has no fields for Twilio."""
    visit.params.update(visit.request.form.items())
    return dict(visit.request.form.items())


def phone_of(written: str | None) -> str | None:
    """Return a number in E.164, the only form that is accepted."""
    return written if written and _PHONE.fullmatch(written) else None


def is_embargoed(visit: Visit, phone: str) -> bool:
    """Return whether a phone is in a country without delivery. By default every number is served, so
    that the sandbox can be used everywhere.
    """
    return visit.variant("embargo") == "on" and phone.startswith(_EMBARGOED)


def error(code: int, status: int, message: str) -> Answer:
    """Return the body of an error."""
    body = {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return Answer(body, status)


def sid(prefix: str, number: int) -> str:
    """Return the identifier of the thing with this number."""
    return f"{prefix}{number:032x}"


def number_of(prefix: str, written: str) -> int:
    """Return the number in an identifier; -1, which nothing has, if it is invalid."""
    match = re.fullmatch(rf"{prefix}([0-9a-f]{{32}})", written)
    return int(match[1], 16) if match else -1


def sign(hook: Hook, now: datetime, token: str) -> Hook:
    """Sign a webhook: the URL, with the names and values of a form appended or, with another body,
    its digest in the URL. The time is not signed.
    """
    if hook.content_type == FORM:
        fields = parse_qs(hook.body.decode(), keep_blank_values=True)
        return hook.with_headers(X_Twilio_Signature=signature(hook.url, fields, token))
    url = f"{hook.url}{'&' if '?' in hook.url else '?'}bodySHA256={sha256_hex(hook.body)}"
    return Hook(url, hook.method, hook.content_type, hook.body).with_headers(
        X_Twilio_Signature=signature(url, {}, token)
    )


def signature(url: str, fields: Mapping[str, Sequence[str]], token: str) -> str:
    """Return the signature of a URL and the fields of a form."""
    text = url + "".join(name + value for name in sorted(fields) for value in sorted(set(fields[name])))
    return hmac_base64(token.encode(), text.encode(), "sha1")
