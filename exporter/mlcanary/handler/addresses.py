"""Where the handler may connect to: no address that answers with the machine's own credentials.

Guarantee: a configured host that is written as an address is checked when the configuration is read, in every
way of writing that a resolver takes; a host that is a name is checked at each connection, after it was
resolved, and the connection goes to the address that was checked. So a name that changes its mind between the
check and the call (DNS rebinding) gains nothing.

Link-local addresses hold the metadata services of the clouds (169.254.169.254, fd00:ec2::254 among them).
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult  # since aiohttp 3.10

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA = (
    ipaddress.ip_network("169.254.0.0/16"),
    ipaddress.ip_network("fe80::/10"),
    ipaddress.ip_network("fd00:ec2::254/128"),  # Amazon
    ipaddress.ip_network("fd20:ce::254/128"),  # Google
    ipaddress.ip_network("100.100.100.200/32"),  # Alibaba
    ipaddress.ip_network("192.0.0.192/32"),  # Oracle
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's wire server
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SIX_TO_FOUR = ipaddress.ip_network("2002::/16")
_NUMERIC = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)(\.(0[xX][0-9a-fA-F]*|[0-9]+)){0,3}\.?", re.ASCII)


def refused(host: str) -> str:
    """What is wrong with a host of a configuration, empty if nothing is. Names are not resolved here.

    >>> refused("prometheus"), refused("10.0.0.1"), refused("[::1]")
    ('', '', '')
    >>> refused("[::ffff:169.254.169.254]")
    'link-local, where machines tell their credentials'
    >>> refused("0xA9FEA9FE")
    'an address in an unusual way of writing'
    """
    bare = host.strip("[]").partition("%")[0]
    try:
        return _reason(ipaddress.ip_address(bare))
    except ValueError:
        pass
    if _NUMERIC.fullmatch(bare):  # decimal, octal, hexadecimal, short: resolvers take them for IPv4
        return "an address in an unusual way of writing"
    return ""


def _reason(address: _Address) -> str:
    for plain in _meanings(address):
        if any(plain in network for network in METADATA if network.version == plain.version):
            return "link-local, where machines tell their credentials"
        if plain.is_multicast or plain.is_unspecified:
            return "multicast or unspecified"
    return ""


def _meanings(address: _Address) -> tuple[_Address, ...]:
    """The address, and the IPv4 address that it carries for a translator."""
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    inner: list[_Address] = [address]
    if address.ipv4_mapped is not None:
        inner.append(address.ipv4_mapped)
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address in _SIX_TO_FOUR and address.sixtofour is not None:
        inner.append(address.sixtofour)
    return tuple(inner)


class CheckedResolver(AbstractResolver):
    """Resolves with `inner` and gives only addresses that may be connected to. Raises OSError if none is left.

    aiohttp connects to what a resolver returns and resolves no second time; it does not ask one about addresses.
    """

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name."""
        found = await self._inner.resolve(host, port, family)
        kept = [answer for answer in found if not refused(answer["host"])]
        if not kept:
            reasons = {refused(answer["host"]) for answer in found} or {"no address"}
            raise OSError(errno.EACCES, f"{host} resolves to {', '.join(sorted(reasons))}")
        return kept

    async def close(self) -> None:
        """Give the resolver back."""
        await self._inner.close()
