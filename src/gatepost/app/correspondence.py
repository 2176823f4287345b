"""Letters of a sender to one person: asked to confirm, welcomed, sent a link.

In: a template, the sender, the address, and the transaction in which the reason for the letter
is recorded. Out: one submission of our own in that transaction, so that a letter is neither
lost nor sent twice (promise 1). It goes the way of all mail: the sender's upstream and DKIM
keys, `queue list`, the null reverse-path, `Auto-Submitted` (RD-5). It carries no picture, no
link but ours and the sender's, and nothing that reports back.

Whoever may not be mailed at all (a hard bounce, suppressed by hand) gets no letter either; the
row says so. That is asked again when the letter is claimed (`flow/decide/letters.py`).

*Fails:* what Jinja2 raises for a template that asks for a value nobody gave; what the database
raises.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from gatepost.app.texts import Texts
from gatepost.app.wiring import Wiring
from gatepost.consent.standing import STRANGER, Person
from gatepost.consent.tokens import Claim, Purpose, Ring
from gatepost.flow.decide.letters import ASKING, LETTER, stop_letter
from gatepost.mail.address import Address, AddressError, parse
from gatepost.mail.envelope import Recipient
from gatepost.mail.letters import letter
from gatepost.mail.recipient_state import State
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream
from gatepost.mail.verdict import Disposition, Reason, Verdict
from gatepost.store.ids import new_id, to_text
from gatepost.store.spool.put import put
from gatepost.store.spool.reports import own_mail
from gatepost.store.spool.rows import Heading, RowDraft, Snapshot
from gatepost.store.transaction import Tx


class Correspondence:
    """Writes letters, by the configuration in force."""

    def __init__(
        self, texts: Texts, wiring: Callable[[], Wiring], ring: Callable[[], Ring]
    ) -> None:
        self._texts = texts
        self._wiring = wiring
        self._ring = ring

    def write(
        self,
        tx: Tx,
        *,
        to: Address,
        sender: Sender,
        template: str,
        language: str,
        note: str,
        stream: Stream | None = None,
        values: Mapping[str, object],
        one_click: Claim | None = None,
        auto: str = "auto-generated",
        submission: int | None = None,
        confirms: bool = False,
    ) -> int:
        """Puts one letter into the spool; the id of its submission.

        `template` names `mail/<template>-subject.txt`, `.txt` and `.html`. They see `values`,
        `sender`, `name`, `postal_address`, `title` (of the stream), and `unsubscribe_url` and
        `preferences_url`, which are "" without `one_click`: the claim that the List-Unsubscribe
        header and these links stand for. `note` says in the records why it was written.
        `confirms` lets it pass a bounce. `submission` is an id from `new_id`, where the caller
        needs to know it before.
        """
        wiring = self._wiring()
        number = new_id() if submission is None else submission
        links = self._links(sender, one_click)
        language = self._texts.language(language) or self._texts.language("en")
        written = self._texts.letter(
            template, sender, language,
            title=stream.title_in(language) if stream else "", **{**links, **values},
        )  # fmt: skip
        mail = letter(
            name=sender.legal_name or sender.name,
            address=_from(sender, wiring.hostname),
            reply_to=_reply_to(sender),
            to=to.given,
            subject=written.subject,
            text=written.text,
            html=written.html,
            language=language,
            date=tx.now,
            message_id=f"<{to_text(number)}@{wiring.hostname}>",
            auto=auto,
            unsubscribe_url=links["unsubscribe_url"],
        )
        upstream = wiring.policy.upstream_of(stream) if stream else sender.upstream

        def decide(snapshot: Snapshot) -> tuple[RowDraft, ...]:
            person = snapshot.persons.get(to.key, STRANGER)
            return (_draft(tx, Recipient(to), person, upstream, note, confirms=confirms),)

        job = own_mail(
            id=number, at=tx.now, recipient=Recipient(to), content=mail, upstream=upstream,
            heading=Heading(subject=written.subject), hostname=wiring.hostname,
            smtputf8=not to.is_ascii, sender=sender.name, note=note,
        )  # fmt: skip
        put(tx, [replace(job, decide=decide, needs_standing=True)])
        return number

    def _links(self, sender: Sender, claim: Claim | None) -> dict[str, str]:
        if claim is None:
            return {"unsubscribe_url": "", "preferences_url": ""}
        ring, base = self._ring(), sender.public_url.rstrip("/")
        return {
            "unsubscribe_url": f"{base}/u/{ring.seal(Purpose.UNSUBSCRIBE, claim)}",
            "preferences_url": f"{base}/p/{ring.seal(Purpose.PREFERENCES, claim)}",
        }


def _draft(
    tx: Tx, recipient: Recipient, person: Person, upstream: str, note: str, *, confirms: bool
) -> RowDraft:
    rule = ASKING if confirms else LETTER
    stop = stop_letter(rule, person)
    if stop is not None:
        return RowDraft(recipient, stop, State.DROPPED, upstream)
    verdict = Verdict(Disposition.DELIVER, Reason.SERVICE, rule, tx.now, note)
    return RowDraft(recipient, verdict, State.READY, upstream)


def _from(sender: Sender, hostname: str) -> str:
    """The address letters come from, in ASCII; the postmaster's where the sender has none."""
    for given in (sender.mail_from, sender.contact):
        written = _in_ascii(given)
        if written:
            return written
    return f"postmaster@{hostname}"


def _reply_to(sender: Sender) -> str:
    """Where a person's answer goes, if not to the address in From."""
    return _in_ascii(sender.contact) if sender.mail_from and sender.contact else ""


def _in_ascii(given: str) -> str:
    """The address with its domain in A-labels; "" if that does not make it ASCII."""
    try:
        address = parse(given)
    except AddressError:
        return ""
    if address.is_ascii:
        return given
    written = f"{given.rpartition('@')[0]}@{address.domain}"
    return written if written.isascii() else ""
