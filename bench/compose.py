"""Copies composed per second on one core, beside what an RSA signature costs by itself.

    python bench/compose.py         some twenty seconds; `make bench` prints it, too

A copy is one recipient's: tokens sealed, put into the plan's places, and, where it is signed,
DKIM with RSA-2048. Time is that of this process on the processor, so that what else the machine
does counts little; bare signatures, copies and signed copies take turns, and each one's best
turn is shown, because what disturbs a turn only ever makes it slower. From its first link on, a
copy's body is hashed for it alone: in large mail that, and not the signature, takes the rest.
"""

import binascii
import os
import time
from contextlib import contextmanager

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from gatepost.consent.tokens import ADDRESS_TOKEN_LENGTH, Claim, Purpose, Ring, stream_tag
from gatepost.flow.edit import BulkTreatment, DkimKey, Footer, Signer, Slot, Treatment, apply, plan
from gatepost.mail.message import scan

SIZES = {"4 KB": 4_000, "100 KB": 100_000}
ATTACHMENT_OCTETS = 25_000_000
ROUNDS = 40
SECONDS = 0.05
GOAL_UNSIGNED, GOAL_SIGNED, GOAL_SCAN = 30_000, 0.85, 100

HEAD = (
    b"From: Acme <news@acme.example>\r\nTo: ada@example.org\r\nSubject: News\r\n"
    b"Date: Sat, 1 Jan 2028 09:00:00 +0000\r\nMessage-ID: <n1@acme.example>\r\n"
    b"MIME-Version: 1.0\r\n"
)
FOOTER = Footer(
    "-- \nDu får det här för att du är med.\nAcme AB, Storgatan 1, 111 22 Stockholm\n"
    "Säg upp: {{unsubscribe_url}}\nVälj själv: {{preferences_url}}",
    "<hr><p>Acme AB, Storgatan 1, 111 22 Stockholm<br>"
    '<a href="{{unsubscribe_url}}">Säg upp</a> <a href="{{preferences_url}}">Välj själv</a></p>',
)
TREATMENT = Treatment(
    received=b"Received: from crm.example ([192.0.2.7]) by relay.example.org; now\r\n",
    own_domains=frozenset({"acme.example"}),
    bulk=BulkTreatment(
        list_id="newsletter.acme.example",
        unsubscribe_base="https://mail.example.org/u/",
        preferences_base="https://mail.example.org/p/",
        footer=FOOTER,
        identity_text="Acme AB",
        identity_html="Acme AB",
        legal_name="Acme AB",
        postal_address="Storgatan 1, 111 22 Stockholm",
        mailto="leave@acme.example",
        mailto_octets=ADDRESS_TOKEN_LENGTH,
    ),
)


def main():
    """Measures and prints."""
    key = generate_private_key(65537, 2048)
    with one_core():
        print(f"{'copies per second on one core':32}{'unsigned':>10}{'signed':>10}{'bare RSA':>10}")
        for name, octets in SIZES.items():
            bare, unsigned, signed = compare(newsletter(octets), key)
            print(
                f"  newsletter of {name:16}{unsigned:10.0f}{signed:10.0f}{bare:10.0f}"
                f"   signing at {signed / bare:.0%} of bare RSA"
            )
        print(f"  goals at 4 KB: {GOAL_UNSIGNED} unsigned, signing at {GOAL_SIGNED:.0%}")
        speed = scan_speed(with_attachment(ATTACHMENT_OCTETS))
        print(f"  scanning 25 MB of attachment: {speed:.0f} MB/s (goal {GOAL_SCAN})")


def compare(raw, key):
    """How many per second, at best: bare signatures, copies, signed copies."""
    drawn = plan(scan(raw), raw, TREATMENT)
    prepared = Signer([DkimKey("acme.example", "gp1", key)]).prepare(drawn)
    ring = Ring({0: bytes(32)}, 0)
    subjects = iter(range(1, 1 << 62))

    def values():
        claim = Claim(next(subjects), stream_tag("newsletter"), 7)
        return {
            Slot.UNSUBSCRIBE: ring.seal_bytes(Purpose.UNSUBSCRIBE, claim),
            Slot.PREFERENCES: ring.seal_bytes(Purpose.PREFERENCES, claim),
            Slot.MAILTO: ring.seal_for_address(Purpose.MAILTO, claim).encode(),
        }

    padding, hashed, digest = PKCS1v15(), Prehashed(SHA256()), bytes(32)
    contenders = (
        lambda: key.sign(digest, padding, hashed),
        lambda: apply(drawn, values()),
        lambda: prepared.sign(values(), 1_800_000_000),
    )
    rounds = [[per_second(one) for one in contenders] for _ in range(ROUNDS)]
    return [max(column) for column in zip(*rounds, strict=True)]


def per_second(work):
    """How often `work` is done in a second of this process's time."""
    done = 0
    begun = time.process_time()
    while (spent := time.process_time() - begun) < SECONDS:
        for _ in range(20):
            work()
        done += 20
    return done / spent


def scan_speed(raw):
    """Megabytes per second, the best of five."""
    times = []
    for _ in range(5):
        begun = time.process_time()
        scan(raw)
        times.append(time.process_time() - begun)
    return len(raw) / 1e6 / min(times)


def newsletter(octets):
    """Text in 8bit beside HTML in quoted-printable, of about so many octets in all."""
    text = "Hej på dig, här är månadens nyheter.\r\n".encode() * (octets // 160)
    line = b"<p>Hej p=C3=A5 dig, h=C3=A4r =C3=A4r m=C3=A5nadens nyheter.</p>\r\n"
    html = line * ((octets - len(text) - 600) // len(line))
    return (
        HEAD
        + b'Content-Type: multipart/alternative; boundary="=_b"\r\n\r\n--=_b\r\n'
        + b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        + text
        + b"\r\n--=_b\r\nContent-Type: text/html; charset=utf-8\r\n"
        + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n<html><body>\r\n"
        + html
        + b"</body></html>\r\n\r\n--=_b--\r\n"
    )


def with_attachment(octets):
    """A short letter with a large file."""
    line = binascii.b2a_base64(bytes(range(57)), newline=False) + b"\r\n"
    return (
        HEAD
        + b'Content-Type: multipart/mixed; boundary="=_b"\r\n\r\n--=_b\r\n\r\nHello\r\n--=_b\r\n'
        + b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + line * (octets // len(line))
        + b"\r\n--=_b--\r\n"
    )


@contextmanager
def one_core():
    """Keeps this process on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


if __name__ == "__main__":
    main()
