"""Headers that identify and sign a message, by Standard Webhooks."""

from __future__ import annotations

from datetime import UTC, datetime

from ..errors import missing_extra
from .endpoints import Endpoint


def signed_headers(endpoint: Endpoint, id: str, body: str, now: datetime) -> dict[str, str]:
    """Return the headers of a message that is sent now, with a signature for each of the secrets.

    Receivers refuse a timestamp that is more than five minutes old, so each attempt is signed again.
    Raises `ConfigurationError` if the package is not installed.
    """
    try:
        from standardwebhooks import Webhook
    except ImportError as error:
        raise missing_extra("Outgoing webhooks", "services", error) from error
    now = now.astimezone(UTC)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(id, now, body) for secret in endpoint.secrets),
    }
