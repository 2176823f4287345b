"""Facts for tests: people in every state, as the ledger would have recorded them."""

from datetime import UTC, datetime, timedelta

from gatepost.consent.evidence import EventKind, Fact, TextState

AT = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)


def granted(
    *,
    basis="newsletter-form",
    stream="newsletter",
    sender="acme",
    at=AT,
    text_state=TextState.VALID,
    **more,
):
    return Fact(
        kind=EventKind.GRANTED, at=at, sender=sender, stream=stream, basis=basis, source="website",
        text_version="1", text_state=text_state, actor="recipient", method="form", **more,
    )  # fmt: skip


def withdrawn(*, stream="newsletter", sender="acme", at=AT + timedelta(days=30)):
    return Fact(
        kind=EventKind.WITHDRAWN,
        at=at,
        sender=sender,
        stream=stream,
        actor="recipient",
        method="one-click",
    )


def complained(*, sender="acme", at=AT + timedelta(days=30)):
    return Fact(
        kind=EventKind.COMPLAINED, at=at, sender=sender, actor="recipient", method="feedback"
    )


def suppressed(*, sender="acme", scope="all", reason="manual", at=AT + timedelta(days=30)):
    return Fact(
        kind=EventKind.SUPPRESSED,
        at=at,
        sender=sender,
        scope=scope,
        suppression=reason,
        actor="staff",
        method="cli",
    )
