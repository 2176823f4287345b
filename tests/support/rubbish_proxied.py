"""Rubbish for the SMTP door behind a load balancer: headers of the PROXY protocol, and what follows.

Besides what holds for any session: from the balancer's network nobody is heard without a good
header, by an opinion other than the gateway's; whoever it names gets the answers that they would
get without a balancer, or relays nothing; and from any other network a header is never looked for.
"""

import ssl
from ipaddress import ip_address, ip_network

from hypothesis import strategies as st

from gatepost.flow.accept.door import Role, Tls
from support.proxy_headers import BAD, GOOD, SIGNATURE, addresses, binary, opinion
from support.rubbish import TESTS, Target, spoilt
from support.rubbish_wire import (
    LINES,
    TRANSACTION,
    SmtpDoor,
    check_alike,
    smtp_door,
    stage,
    talks,
)

HERE, ELSEWHERE = (ip_network("127.0.0.1/32"),), (ip_network("127.0.0.2/32"),)
CLIENT = ip_address("127.0.0.1")
_HOSTS = st.sampled_from([
    b"127.0.0.1", b"127.0.0.2", b"192.0.2.7", b"::1", b"::1%lo", b"::ffff:127.0.0.1", b"2001:db8::7",
    b"0.0.0.0", b"0127.0.0.1", b"127.1", b"1.2.3.4.5", b"localhost", b"", b"::", b"fe80::1%eth0",
])  # fmt: skip
_PORTS = st.integers(0, 70_000).map(b"%d".__mod__) | st.sampled_from([b"", b"-1", b"+1", b"01"])
_KINDS = st.sampled_from([b"TCP4", b"TCP6", b"UNKNOWN", b"UDP4"])
_FELLOWS = st.sampled_from([b"198.51.100.1", b"2001:db8::1"])
_LINES = st.builds(
    b"PROXY %b %b %b %b %b\r\n".__mod__, st.tuples(_KINDS, _HOSTS, _FELLOWS, _PORTS, _PORTS)
)
_BINARIES = st.builds(
    binary,
    st.sampled_from([0x20, 0x21, 0x21, 0x11, 0x22]),
    st.sampled_from([0x00, 0x11, 0x11, 0x21, 0x12, 0x31]),
    st.sampled_from([
        addresses(2, "127.0.0.1", "127.0.0.2"), addresses(10, "::1", "::1"),
        addresses(10, "::ffff:127.0.0.1", "::1"), addresses(2, "192.0.2.7", "192.0.2.8"),
    ]),
    st.binary(max_size=20) | st.sampled_from([988, 989, 1012, 1013]).map(b"x".__mul__),
)  # fmt: skip
_KNOWN = [*(header for header, _ in GOOD.values()), *BAD.values()]
HEADERS = _LINES | _BINARIES | st.sampled_from(_KNOWN)
_ODDS = _HOSTS | LINES | st.sampled_from([
    SIGNATURE, b"PROXY ", b"TCP4 ", b"UNKNOWN", b" ", b"\r\n", b"\r", b"\n", b"\0", b"\x21", b"\xff",
])  # fmt: skip
proxied_talks = (
    st.builds(bytes.__add__, HEADERS, st.just(TRANSACTION) | talks)
    | spoilt([header + TRANSACTION for header in _KNOWN], _ODDS, most=3)
    | talks
)


class BalancersDoor(SmtpDoor):
    """Where every connection comes from the balancer."""

    async def _meet(self, port):
        reader, writer = await super()._meet(port)
        writer.write(b"PROXY UNKNOWN\r\n")
        if self._settings["tls"] is Tls.IMPLICIT:
            trusting = ssl.create_default_context()
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            await writer.start_tls(trusting)
        return reader, writer

    async def check(self, octets):
        if self._settings["tls"] is Tls.IMPLICIT:
            return await self._check_handshake(octets)
        whole = await super().check(octets)
        found = opinion(octets)
        if found is None:
            assert whole[0] == b"", "somebody without a good header was heard"
            return whole
        named, rest = found
        if named in {None, CLIENT}:
            plain = await smtp_door(SmtpDoor, Role.SUBMISSION, Tls.NONE).talk([rest])
            check_alike(whole, plain)
        else:
            assert not whole[2], "a stranger relays"
        return whole

    async def _check_handshake(self, octets):
        """Rubbish is no handshake: at most an alert comes back, and only behind a good header."""
        said, *_ = await self.talk([octets])
        assert said[:1] in {b"", b"\x15"}, said
        assert not said or opinion(octets)


class StrangersDoor(SmtpDoor):
    """Where every connection comes from somebody else: it is a door like any other."""

    async def check(self, octets):
        whole = await super().check(octets)
        plain = await smtp_door(SmtpDoor, Role.SUBMISSION, Tls.NONE).talk([octets])
        check_alike(whole, plain)
        return whole


def check_proxied(octets):
    """Which listener it is follows from the octets, too."""
    kinds = (
        (BalancersDoor, Tls.NONE, HERE),
        (BalancersDoor, Tls.IMPLICIT, HERE),
        (BalancersDoor, Tls.NONE, HERE),
        (StrangersDoor, Tls.NONE, ELSEWHERE),
    )
    kind, tls, proxies = kinds[sum(octets) % len(kinds)]
    door = smtp_door(kind, Role.SUBMISSION, tls, proxies=proxies)
    stage().check(door.check(octets))


PROXIED = (
    Target("SMTP behind a balancer", proxied_talks, check_proxied,
           TESTS / "found" / "proxied", ".bin", 60),
)  # fmt: skip
