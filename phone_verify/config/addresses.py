"""Parses settings that are addresses: of the site, of sites that show its pages, of proxies."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal
from urllib.parse import urlsplit

from ..drivers.options import is_loopback
from ..errors import ConfigurationError
from ..http.proxies import Network

_ANCESTOR = re.compile(r"(https?)://((?:\*\.)?[a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?", re.ASCII)
_HOST = re.compile(r"[a-z0-9.-]+|\[[0-9a-f:]+\]", re.ASCII)
#: The length of the prefix ::ffff:0:0/96.
_MAPPED = 96


def read_frame_ancestor(word: str) -> str:
    """Return the Content-Security-Policy source for this value of the setting."""
    word = word.lower().rstrip("/")
    if word in ("self", "'self'"):
        return "'self'"
    shape = _ANCESTOR.fullmatch(word)
    if shape is None or (shape[1] == "http" and not is_loopback(shape[2])):
        raise ConfigurationError(
            "PHONE_VERIFY_FRAME_ANCESTORS: use self, or the origins that may show the pages in a frame, "
            "like https://partner.example,https://*.partner.example"
        )
    return word


def read_captcha_source(word: str) -> str:
    """Return the Content-Security-Policy source for this value of the setting."""
    word = word.lower().rstrip("/")
    shape = _ANCESTOR.fullmatch(word)
    if shape is None or (shape[1] == "http" and not is_loopback(shape[2])):
        raise ConfigurationError(
            "PHONE_VERIFY_CAPTCHA_SOURCES: use the origins of the captcha's script and frame, like "
            "https://challenges.cloudflare.com or https://*.hcaptcha.com"
        )
    return word


def read_network(word: str) -> Network | Literal["unix"]:
    """Return the network of trusted proxies for this value of the setting."""
    if word.lower() in ("unix", "unix:"):
        return "unix"
    try:
        network = ip_network(word)
    except ValueError:
        raise ConfigurationError(
            "PHONE_VERIFY_TRUSTED_NETWORKS: use networks like 10.0.0.0/8,2001:db8::/32, or unix for a Unix socket"
        ) from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None and network.prefixlen >= _MAPPED:
        # As dual-stack servers log IPv4 peers; addresses are compared as IPv4.
        network = IPv4Network((mapped, network.prefixlen - _MAPPED))
    if network.prefixlen == 0:
        raise ConfigurationError(
            f"PHONE_VERIFY_TRUSTED_NETWORKS: {network} contains every client, so anyone could choose an address; "
            "list the networks of your proxies"
        )
    return network


def read_public_url(name: str, text: str | None) -> str | None:
    if text is None:
        return None
    refusal = ConfigurationError(f"PHONE_VERIFY_{name.upper()}: use scheme and host only, like https://site.example")
    try:
        url = urlsplit(text.lower())
        port = url.port
    except ValueError:
        raise refusal from None
    if url.scheme not in ("http", "https") or not _HOST.fullmatch(url.netloc.removesuffix(f":{port}")):
        raise refusal
    if url.path not in ("", "/") or url.query or url.fragment:
        raise refusal
    return f"{url.scheme}://{url.netloc}"


def host_of(public_url: str | None) -> str | None:
    return urlsplit(public_url).hostname if public_url else None
