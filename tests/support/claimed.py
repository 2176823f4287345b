"""Rows as a claim hands them out."""

from datetime import UTC, datetime

from gatepost.mail.address import parse
from gatepost.mail.envelope import Recipient
from gatepost.mail.stream import Kind
from gatepost.mail.verdict import Disposition, Reason, Verdict
from gatepost.store.spool.rows import Claimed, Submission

AT = datetime(2027, 3, 1, 9, tzinfo=UTC)


def submission(number=1, kind=Kind.BULK):
    return Submission(
        id=number, received=AT, client="crm", stream="newsletter", kind=kind, sender="acme",
        campaign=1, mail_from="news@acme.example", ret="", envid="", smtputf8=False,
        body8bit=False, message_id="", subject="Spring", header_from="news@acme.example", size=1,
        recipients=2, peer="192.0.2.1", protocol="ESMTP", ehlo="crm.example", cipher="",
        replaced="", note="",
    )  # fmt: skip


def rows(given, count):
    verdict = Verdict(Disposition.DELIVER, Reason.CONSENTED, "consented")
    return [
        Claimed(
            id=n, submission=given, recipient=Recipient(parse(f"r{n}@example.org")), subject=n,
            verdict=verdict, upstream="", attempts=1, next_attempt=AT, lease_until=AT,
        )
        for n in range(1, count + 1)
    ]  # fmt: skip
