"""What is told, and how it is signed."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.consent.announcing import pause, payload, signed_headers, signing_key
from gatepost.consent.evidence import EventKind, Fact

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)


def test_the_signature_of_the_scheme():
    """Checked against a signature that another program made."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = signed_headers(
        signing_key(secret), "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC), b'{"test": 2432232314}',
    )  # fmt: skip
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "short",
        "x" * 23,
        "whsec_",
        "whsec_????",
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
    ],
)
def test_a_secret_that_can_be_guessed_is_none(secret):
    with pytest.raises(ValueError, match=r"bytes|base64"):
        signing_key(secret)


def test_what_is_told_and_what_is_not():
    fact = Fact(
        kind=EventKind.BOUNCED, at=AT, sender="acme", scope="all", suppression="hard-bounce",
        method="feedback", note="550 no such user anna@kund.example", ip="192.0.2.7", user_agent="x",
    )  # fmt: skip
    told = json.loads(
        payload(fact, message="msg_1", recorded_at=AT, subject="0", address="Anna@kund.example")
    )
    assert told == {
        "id": "msg_1", "event": "bounced", "time": "2026-03-01T10:00:00.000Z",
        "recorded_at": "2026-03-01T10:00:00.000Z", "sender": "acme", "stream": "", "subject": "0",
        "actor": "system", "method": "feedback", "address": "Anna@kund.example", "scope": "all",
        "suppression": "hard-bounce",
    }  # fmt: skip


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_pauses_grow_to_an_hour(attempts, jitter):
    assert timedelta(seconds=4) <= pause(attempts, jitter) <= timedelta(hours=1.2)
    assert pause(attempts, 0.5) <= pause(attempts + 1, 0.5)
