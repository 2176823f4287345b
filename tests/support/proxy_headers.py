"""Headers of the PROXY protocol, good and bad, and a second opinion about which is which.

`opinion` reads them in another way than the gateway does, with the system's own idea of an address.
"""

import re
import socket
import struct
from ipaddress import ip_address

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LONGEST_LINE, LONGEST_REST = 107, 1024
_FAMILIES = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}
_PORT = rb"(0|[1-9]\d*)"
_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: .*?)?|(TCP[46]) ([^ ]+) ([^ ]+) " + _PORT + b" " + _PORT + rb")\r\n",
    re.DOTALL,
)


def binary(command=0x21, family=0x11, body=b"", tail=b""):
    """A header of version 2."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(body + tail)) + body + tail


def addresses(family, source, target, ports=(4711, 25)):
    """What a header of version 2 says of a connection."""
    return (
        socket.inet_pton(family, source) + socket.inet_pton(family, target)
        + struct.pack("!HH", *ports)
    )  # fmt: skip


V4 = addresses(socket.AF_INET, "192.0.2.7", "198.51.100.1")
V6 = addresses(socket.AF_INET6, "2001:db8::7", "2001:db8::1")
MAPPED = addresses(socket.AF_INET6, "::ffff:192.0.2.7", "::ffff:198.51.100.1")
GOOD = {
    "v1 tcp4": (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n", "192.0.2.7"),
    "v1 tcp6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 25\r\n", "2001:db8::7"),
    "v1 mapped": (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:1.2.3.4 4711 25\r\n", "192.0.2.7"),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", None),
    "v1 unknown and more": (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", None),
    "v2 tcp4": (binary(body=V4), "192.0.2.7"),
    "v2 tcp6": (binary(family=0x21, body=V6), "2001:db8::7"),
    "v2 mapped": (binary(family=0x21, body=MAPPED), "192.0.2.7"),
    "v2 with more": (binary(body=V4, tail=b"\x04\0\x03abc"), "192.0.2.7"),
    "v2 local": (binary(0x20, 0x00), None),
    "v2 local with addresses": (binary(0x20, 0x11, V4), None),
}
BAD = {
    "smtp": b"EHLO client.example\r\n",
    "lower case": b"proxy tcp4 192.0.2.7 198.51.100.1 4711 25\r\n",
    "no end": b"PROXY TCP4 " + b"1" * 200,
    "too long": b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    "udp": b"PROXY UDP4 192.0.2.7 198.51.100.1 4711 25\r\n",
    "family mixed": b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 25\r\n",
    "no address": b"PROXY TCP4 somebody 198.51.100.1 4711 25\r\n",
    "leading zero": b"PROXY TCP4 192.0.2.007 198.51.100.1 4711 25\r\n",
    "with a scope": b"PROXY TCP6 fe80::7%eth0 2001:db8::1 4711 25\r\n",
    "two blanks": b"PROXY TCP4  192.0.2.7 198.51.100.1 4711 25\r\n",
    "port too large": b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n",
    "port signed": b"PROXY TCP4 192.0.2.7 198.51.100.1 +4711 25\r\n",
    "port missing": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n",
    "one more": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25 26\r\n",
    "not ascii": "PROXY TCP4 192.0.2.\u0667 198.51.100.1 4711 25\r\n".encode(),
    "other version": binary(0x31, 0x11, V4),
    "other command": binary(0x22, 0x11, V4),
    "datagram": binary(0x21, 0x12, V4),
    "socket of unix": binary(0x21, 0x31, b"\0" * 216),
    "unspecified": binary(0x21, 0x00),
    "addresses cut": binary(0x21, 0x11, V4[:11]),
    "addresses of the other family": binary(0x21, 0x21, V4),
    "unreasonable length": SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 1025),
    "signature broken": SIGNATURE[:-1] + b"\r" + binary(body=V4)[12:],
}


def opinion(octets):
    """(the address it names or `None`, what is behind it); `None`: no good header."""
    try:
        return _line(octets) if octets.startswith(b"PROXY ") else _binary(octets)
    except (OSError, ValueError, struct.error):
        return None


def _line(octets):
    found = _LINE.match(octets[:LONGEST_LINE])
    if not found:
        return None
    kind, source, target, *ports = found.groups()
    rest = octets[found.end() :]
    if kind is None:
        return None, rest
    family, _ = _FAMILIES[0x11 if kind == b"TCP4" else 0x21]
    named = socket.inet_pton(family, source.decode())
    socket.inet_pton(family, target.decode())
    struct.pack("!HH", *map(int, ports))
    return _address(named), rest


def _binary(octets):
    command, family, length = struct.unpack("!BBH", octets[len(SIGNATURE) :][:4])
    header = octets[len(SIGNATURE) + 4 :][:length]
    rest = octets[len(SIGNATURE) + 4 + length :]
    if not octets.startswith(SIGNATURE) or len(header) < length or length > LONGEST_REST:
        return None
    if command == 0x20:
        return None, rest
    size = _FAMILIES.get(family, (None, LONGEST_REST))[1]
    if command != 0x21 or length < 2 * size + 4:
        return None
    return _address(header[:size]), rest


def _address(packed):
    address = ip_address(packed)
    return getattr(address, "ipv4_mapped", None) or address
