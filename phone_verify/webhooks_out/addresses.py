"""Which network addresses a webhook may be sent to: public ones, so that a URL reaches no internal service."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

#: Global unicast of IPv6; mapped (::ffff:0:0/96), translated (64:ff9b::/96), local and multicast
#: addresses are outside of it.
_UNICAST = ip_network("2000::/3")
#: Not public in effect, although `ipaddress` of some Python versions says so.
_REFUSED = tuple(
    ip_network(network)
    for network in (
        "100.64.0.0/10",  # carrier-grade NAT, and the metadata service of one cloud
        "168.63.129.16/32",  # the host of a virtual machine in Azure
        "192.0.0.0/24",  # protocol assignments, and the metadata service of one cloud
        "192.88.99.0/24",  # relays of 6to4
        "240.0.0.0/4",
        "2001::/23",  # Teredo, ORCHID and other protocols
        "2002::/16",  # 6to4: an IPv4 address inside, which may be private
        "3fff::/20",  # documentation
    )
)
#: The upper half of an interface identifier of ISATAP (RFC 5214), without the two bits that may differ:
#: the lower half is an IPv4 address, which may be private.
_ISATAP, _OF_ISATAP = 0x00005EFE, 0xFCFFFFFF


def is_public(text: str) -> bool:
    """Return whether this is an IP address of the public Internet, without a tunnel or a translation."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and (
        address.scope_id or address not in _UNICAST or int(address) >> 32 & _OF_ISATAP == _ISATAP
    ):
        return False
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return not any(address in network for network in _REFUSED if network.version == address.version)


def is_loopback(text: str) -> bool:
    """Return whether this is an IP address of this machine."""
    try:
        return ip_address(text).is_loopback
    except ValueError:
        return False


def is_number_like(host: str) -> bool:
    """Return whether a host ends in a number and so would be read as an IPv4 address by some resolvers,
    like `2130706433`, `0x7f.1` and `127.1`, without being one.
    """
    last = host.rstrip(".").rpartition(".")[2].lower()
    if not last or not (last.isdigit() or last.startswith("0x")):
        return False
    try:
        return not isinstance(ip_address(host), IPv4Address)
    except ValueError:
        return True
