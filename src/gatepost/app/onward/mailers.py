"""The mailer's own list: it is told when somebody left by our link, or complained.

A copy carries our List-Unsubscribe in place of the mailer's, which the submission keeps. When
its recipient leaves, that address is told in the person's place: by the one-click POST of
RFC 8058, or by a mail to its mailto.

Only a submission with one recipient is told of. With several, one List-Unsubscribe stood for
all of them: it would unsubscribe somebody else, or everybody. And only hosts that the
configuration allows are told: otherwise any client could make us post or write anywhere.

The mail comes from the sender (`mail_from`, else `contact`) with a null reverse-path and marked
as automatic, never from the person: that would be a forgery, and fail DMARC. So a mailto that
does not name the person is left alone (`mail.list_unsubscribe`). It is put into the spool in the
transaction that ends its delivery: once, whatever dies in between.

Telling waits a little, so that who undoes it in the same minute is not taken off the mailer's
list; whoever has come back by then is not reported as gone.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from gatepost.app.onward.couriers import Courier, Resolve, Trouble, resolve
from gatepost.app.onward.destinations import Fate, Outcome, outcome_of
from gatepost.app.wiring import Wiring
from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.leaving import left_at
from gatepost.consent.standing import STRANGER
from gatepost.mail.envelope import Recipient
from gatepost.mail.letters import unsubscribe_request
from gatepost.mail.list_unsubscribe import (
    ONE_CLICK_BODY,
    Mail,
    OneClick,
    Target,
    find_targets,
)
from gatepost.store import onward, people
from gatepost.store.engine import Store, Tx
from gatepost.store.ids import from_text, new_id, to_text
from gatepost.store.onward import Content, Delivery, Sealed, Wanted
from gatepost.store.spool.put import put
from gatepost.store.spool.reading import submissions
from gatepost.store.spool.reports import own_mail
from gatepost.store.spool.rows import Heading, Submission

NAME = "@mailers"  # no webhook can be called that
NOTE = "told the mailer that somebody left"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class Allowed:
    """Which hosts of mailers may be told, after how long, and how they are reached."""

    hosts: tuple[str, ...]
    wait: timedelta
    allow_private: bool = False
    authority: Path | None = None

    def admits(self, target: Target) -> bool:
        """Whether a host is one of those."""
        return any(fnmatchcase(target.host, glob) for glob in self.hosts)


class Mailers:
    """The mailers as a destination."""

    name = NAME
    is_one_place = False
    kinds: Iterable[EventKind] = (EventKind.WITHDRAWN, EventKind.COMPLAINED)

    def __init__(
        self,
        store: Store,
        wiring: Callable[[], Wiring],
        allowed: Allowed,
        resolve: Resolve = resolve,
    ) -> None:
        self._store, self._wiring, self._allowed, self._resolve = store, wiring, allowed, resolve

    def choose(self, tx: Tx, events: Sequence[Sealed]) -> list[Wanted]:
        """Those who left by the link of a submission that is to be told of."""
        by_submission: dict[int, list[Sealed]] = {}
        for one in events:
            fact = Fact.from_payload(one.payload) if one.payload is not None else None
            if fact is not None and fact.submission and fact.actor == "recipient":
                by_submission.setdefault(from_text(fact.submission), []).append(one)
        found = submissions(tx, by_submission)
        return sorted(
            Wanted(one.event, one.subject, tx.now + self._allowed.wait)
            for number, submission in found.items()
            if submission.recipients == 1 and submission.replaced
            for one in by_submission[number]
        )

    async def tell(self, delivery: Delivery, content: Content) -> Outcome:
        """Tells one mailer, if there is still something to tell."""
        fact = content.fact
        if fact is None or not content.address:
            return Outcome(Fate.VOID)

        def read(tx: Tx) -> Submission | None:
            if fact.kind is EventKind.WITHDRAWN and _came_back(tx, delivery.subject, fact):
                return None
            return submissions(tx, [from_text(fact.submission)]).get(from_text(fact.submission))

        submission = await self._store.read(read)
        if submission is None:
            return Outcome(Fate.VOID)
        targets = find_targets(submission.replaced, content.address)
        match next(filter(self._allowed.admits, targets), None):
            case OneClick(url):
                return await self._post(url)
            case Mail() as mail:
                await self._store.write(lambda tx: self._write(tx, delivery.id, mail, submission))
                return Outcome(Fate.ARRIVED)
            case None:
                return Outcome(Fate.VOID)

    async def close(self) -> None:
        """Holds nothing: each mailer gets a courier of its own."""

    async def _post(self, url: str) -> Outcome:
        allowed = self._allowed
        courier = Courier(
            allow_private=allowed.allow_private,
            authority=allowed.authority,
            resolve=self._resolve,
        )
        try:
            answer = await courier.post(url, ONE_CLICK_BODY, _FORM)
        except Trouble as trouble:
            return Outcome(Fate.AWAY, str(trouble))
        finally:
            await courier.close()
        return outcome_of(answer.status, answer.retry_after)

    def _write(self, tx: Tx, delivery: int, mail: Mail, submission: Submission) -> None:
        wiring = self._wiring()
        sender = wiring.policy.senders.get(submission.sender)
        if not onward.remove(tx, delivery) or sender is None:
            return
        number = new_id()
        message = unsubscribe_request(
            name=sender.legal_name or sender.name,
            address=sender.mail_from or sender.contact or f"postmaster@{wiring.hostname}",
            to=mail.address.given,
            subject=mail.subject or "unsubscribe",
            text=mail.body,
            date=tx.now,
            message_id=f"<{to_text(number)}@{wiring.hostname}>",
        )
        job = own_mail(
            id=number, at=tx.now, recipient=Recipient(mail.address), content=message,
            upstream=sender.upstream, heading=Heading(subject=mail.subject or "unsubscribe"),
            hostname=wiring.hostname, smtputf8=not mail.address.is_ascii, sender=sender.name,
            note=NOTE,
        )  # fmt: skip
        put(tx, [job])


def _came_back(tx: Tx, subject: int, fact: Fact) -> bool:
    """Whether the person has undone what is to be told."""
    found = people.look_up_subjects(tx, [subject], fact.stream, fact.sender)
    return left_at(found.get(subject, STRANGER)) is None
