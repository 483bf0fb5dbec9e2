"""What an access key restricts: the service and the channels of its orders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..http.call import ApiRequest, ApiResponse
from ..http.problems import problem
from ..model import Channel
from ..verifier.operations import AsyncVerifier

if TYPE_CHECKING:
    from ..keys.access_key import AccessKey


def limited_by_key(flows: AsyncVerifier, key: AccessKey | None) -> AsyncVerifier:
    """Return the verifier that orders only on the channels that the key may use."""
    if key is None or not key.channels:
        return flows
    return flows.limited.to([channel for channel in flows.channels if key.may_use(channel)])


def refused_order(flows: AsyncVerifier, call: ApiRequest, fields: Mapping[str, str]) -> ApiResponse | None:
    """Return the refusal of an order for another service than the key's, or on a channel that it may not use."""
    key = call.access_key
    if key is None:
        return None
    if fields.get("service", key.service) != key.service:
        return problem(403, "wrong_service", "This access key is of another service.", fields=["service"])
    wanted = {channel.value: channel for channel in Channel}.get(fields.get("channel", ""))
    usable = key.may_use(wanted) if wanted is not None else any(map(key.may_use, flows.channels))
    if not usable and (flows.channels or key.channels):
        return problem(403, "channel_not_allowed", "This access key may not use this channel.", fields=["channel"])
    return None
