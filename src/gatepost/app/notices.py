"""What follows from deliveries, and from mailings that ended.

Mail of our own: who could not be reached, or of whom nobody else will tell (RX-9), and who was
not mailed. And bounces on our own doorstep: a bulk recipient whom upstream refused for good is
recorded as one whose bounce came back later would be (RQ-6).

In: what the spool says is to be told. Out: submissions of our own, put into the spool in the
same transaction as the note that they were made, so that a report is neither lost nor sent
twice.

*Fails:* `StoreUnavailable`; nothing is lost, the next round tries again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

from gatepost import houselog
from gatepost.app.wiring import Wiring
from gatepost.feedback.bounces import Severity, judge_reply
from gatepost.flow.outcomes import EXPIRED
from gatepost.flow.transmit.trouble import is_own_refusal, is_own_word
from gatepost.mail.address import AddressError, parse
from gatepost.mail.envelope import Recipient
from gatepost.mail.notices import (
    MAX_LISTED,
    Action,
    Fate,
    campaign_summary,
    delivery_failure,
    subject_for,
)
from gatepost.mail.reply import Reply, parse_reply
from gatepost.mail.stream import Kind
from gatepost.mail.verdict import Disposition, Reason
from gatepost.store import campaign_report, content
from gatepost.store.campaign_report import CampaignRow
from gatepost.store.engine import Store, StoreUnavailable, Tx
from gatepost.store.ids import new_id, to_text
from gatepost.store.people import ensure_subjects
from gatepost.store.returned import Copy, record_bounce
from gatepost.store.spool import reports
from gatepost.store.spool.reports import DueReport, Untold
from gatepost.store.spool.rows import Heading

GATHER_FAILURES = timedelta(minutes=5)
SUMMARY_AFTER = timedelta(minutes=15)
LOOK_AGAIN = timedelta(minutes=10)  # at silent campaigns of which there was nothing to tell


class Notices:
    """Writes what is due. Safe to run in several gateways at once."""

    def __init__(
        self,
        store: Store,
        wiring: Callable[[], Wiring],
        *,
        gather_failures: timedelta = GATHER_FAILURES,
        summary_after: timedelta = SUMMARY_AFTER,
    ) -> None:
        self._store = store
        self._wiring = wiring
        self._gather_failures = gather_failures
        self._summary_after = summary_after
        self._unremarkable: Mapping[int, int] = {}
        self._looked_at = store.now()

    async def report_failures(self) -> int:
        """Sends the delivery reports that are due; says how many."""
        due = await self._store.survey(lambda tx: reports.due_reports(tx, self._gather_failures))
        made = 0
        for report in due:
            with _by_itself("delivery reports"):
                made += await self._store.write(partial(self._report, due=report))
        return made

    async def sum_up(self) -> int:
        """Sends the campaign summaries that are due; says how many."""
        now = self._store.now()
        if now - self._looked_at >= LOOK_AGAIN:
            self._looked_at, self._unremarkable = now, {}
        look = await self._store.survey(
            partial(
                campaign_report.look_for_summaries,
                silence=self._summary_after,
                known=self._unremarkable,
            )
        )
        self._unremarkable = look.nothing
        if look.over:
            await self._store.write(partial(campaign_report.settle, campaigns=look.over))
        made = 0
        for campaign in look.due:
            with _by_itself("campaign summaries"):
                made += await self._sum_up(campaign)
        return made

    def _report(self, tx: Tx, due: DueReport) -> int:
        submission, ids = due.submission, [untold.id for untold in due.untold]
        if submission.kind is Kind.BULK and submission.sender:
            self._record_bounces(tx, due)
        fates = [
            self._fate(untold)
            for untold in due.untold
            if submission.mail_from and _is_wanted(untold)  # RD-3, RX-9
        ]
        try:
            to = Recipient(parse(submission.mail_from)) if fates else None
        except AddressError:
            to = None
        if to is None:
            reports.mark_reported(tx, ids)
            return 0
        wiring, number = self._wiring(), new_id()
        mail = delivery_failure(
            host=wiring.hostname,
            to=submission.mail_from,
            fates=fates,
            original_header=_header(tx, submission.id),
            arrived=submission.received,
            date=tx.now,
            message_id=f"<{to_text(number)}@{wiring.hostname}>",
            envid=submission.envid,
        )
        job = reports.own_mail(
            id=number, at=tx.now, recipient=to, content=mail, upstream="",
            heading=Heading(subject=subject_for(fates)),
            hostname=wiring.hostname, smtputf8=not to.address.is_ascii,
        )  # fmt: skip
        return int(reports.put_report(tx, job, ids) is not None)

    def _fate(self, untold: Untold) -> Fate:
        unspelled = Reply(250 if untold.relayed else 554, "", untold.reply)
        return Fate(
            recipient=untold.recipient,
            action=Action.RELAYED if untold.relayed else Action.FAILED,
            reply=parse_reply(untold.reply) or unspelled,
            remote=self._remote(untold),
            last_attempt=untold.last_attempt,
        )

    def _record_bounces(self, tx: Tx, due: DueReport) -> None:
        """Each once, however often this runs: the same copy counts once."""
        limit = self._wiring().settings.bounces.soft_limit
        submission = due.submission
        failures = [untold for untold in due.untold if not untold.relayed]
        known = ensure_subjects(tx, [one.recipient.address for one in failures])
        for failure in failures:
            copy = Copy(known[failure.recipient.address.key], submission.sender, submission.id)
            record_bounce(tx, copy, _severity(failure.reply), failure.reply, limit)

    def _remote(self, untold: Untold) -> str:
        """The host that gave the reply; "" where it is our own word."""
        if untold.reply.startswith(str(EXPIRED)) or is_own_refusal(untold.reply):
            return ""
        route = self._wiring().routes.get(untold.upstream)
        return route.host if route else ""

    async def _sum_up(self, campaign: CampaignRow) -> int:
        """Reads what a summary says beside the mail: a mailing may have a million recipients."""
        wiring = self._wiring()
        sender = wiring.policy.senders.get(campaign.sender)
        if sender is None or not sender.contact:
            await self._store.write(partial(campaign_report.mark_summed_up, campaign=campaign.id))
            return 0
        counts = await self._store.survey(partial(campaign_report.decided, campaign=campaign.id))
        not_mailed = await self._store.survey(
            partial(campaign_report.not_mailed, campaign=campaign.id, limit=MAX_LISTED)
        )
        number, now = new_id(), self._store.now()
        mail = campaign_summary(
            host=wiring.hostname,
            to=sender.contact,
            campaign=campaign.name,
            stream=campaign.stream,
            started_at=campaign.started_at,
            counts=Counter(
                {(Disposition(verdict), Reason(why)): n for (verdict, why), n in counts.items()}
            ),
            not_mailed=[
                (address, Disposition(verdict), Reason(why)) for address, verdict, why in not_mailed
            ],
            date=now,
            message_id=f"<{to_text(number)}@{wiring.hostname}>",
        )
        to = Recipient(parse(sender.contact))
        job = reports.own_mail(
            id=number, at=now, recipient=to, content=mail, upstream=sender.upstream,
            heading=Heading(subject=f"Summary of {campaign.name}"), hostname=wiring.hostname,
            smtputf8=not to.address.is_ascii, sender=sender.name,
        )  # fmt: skip
        put = partial(reports.put_summary, summary=job, campaign=campaign.id)
        return int(await self._store.write(put) is not None)


@contextmanager
def _by_itself(chore: str) -> Iterator[None]:
    """One that fails is tried again next time, and holds up no other. Raises `StoreUnavailable`."""
    try:
        yield
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, the others can be told
        houselog.housekeeping_failed(chore, error)


def _is_wanted(untold: Untold) -> bool:
    """Of relayed copies only those are on record that the mailer asked for."""
    notify = untold.recipient.notify
    return untold.relayed or not notify or "FAILURE" in notify


def _severity(said: str) -> Severity:
    """What the last reply says about the address; of an expired copy, what kept it waiting."""
    last = said.removeprefix(f"{EXPIRED}; ")
    if last == str(EXPIRED) or is_own_word(last):
        return Severity.NONE  # upstream's trouble says nothing about anybody's address
    reply = parse_reply(last)
    return judge_reply(reply) if reply else Severity.NONE


def _header(tx: Tx, submission: int) -> bytes:
    """The header of the message; nothing of one whose content is lost."""
    try:
        message = content.load(tx, submission)
    except LookupError:
        return b""
    end = message.find(b"\r\n\r\n")
    return message if end < 0 else message[: end + 2]
