"""A name server on loopback that knows a few records and nothing else.

with NameServer({("gp1._domainkey.acme.example", "TXT"): ['"v=DKIM1; …"']}) as server:
    server.port, server.asked

Answers are given over UDP and TCP at one port. A name it does not know is NXDOMAIN. With
`mute=True` it takes questions and answers none.
"""

import contextlib
import socket
import struct
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from dns.rdatatype import to_text

from gatepost.flow.edit.dkim_record import record_strings


def quoted(text):
    """`text` as a TXT record spells it."""
    return " ".join(f'"{one}"' for one in record_strings(text))


class NameServer:
    """The server; a context manager."""

    def __init__(self, records, *, mute=False):
        self.records = {
            (name.rstrip(".").lower(), kind): texts for (name, kind), texts in records.items()
        }
        self.asked = []
        self.mute = mute

    def __enter__(self):
        self._udp, self._tcp = _sockets_on_one_port()
        self.port = self._udp.getsockname()[1]
        self._threads = [threading.Thread(target=one) for one in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        self._tcp.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def _serve_udp(self):
        while True:
            wire, peer = self._udp.recvfrom(4096)
            if not wire:
                return
            if not self.mute:
                self._udp.sendto(self._answer(wire), peer)

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            gone = contextlib.suppress(OSError, struct.error)  # who asks, before all was said
            with gone, connection, connection.makefile("rb") as stream:
                size = struct.unpack("!H", stream.read(2))[0]
                answer = self._answer(stream.read(size))
                connection.sendall(struct.pack("!H", len(answer)) + answer)

    def _answer(self, wire):
        question = dns.message.from_wire(wire)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA | dns.flags.AA
        asked = question.question[0]
        name, kind = asked.name.to_text().rstrip(".").lower(), to_text(asked.rdtype)
        self.asked.append((name, kind))
        if texts := self.records.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", kind, *texts))
        elif not any(known == name for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer.to_wire(max_size=65535)


def _sockets_on_one_port():
    """UDP and TCP on the same free port; another program may have the one that UDP drew."""
    for _ in range(50):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        try:
            return udp, socket.create_server(udp.getsockname())
        except OSError:
            udp.close()
    raise RuntimeError("no port is free for both UDP and TCP")
