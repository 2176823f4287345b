"""Submission → copies: what the edit room is told about a stream, and the tokens of each copy.

In: a submission and its message (runs in a thread, too). Out: `Ready`, which makes copies for any
of its rows. Everything that is the same for all copies is done once: footer, plan of edits,
canonical form for DKIM. A plan is never stored: whatever is sent follows the configuration
as it is when it is sent.

*Fails:* `TreatmentError` for texts that do not fit into a header; `NotConfiguredError`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from gatepost.app.texts import Texts
from gatepost.app.wiring import Wiring
from gatepost.consent.tokens import (
    ADDRESS_TOKEN_LENGTH,
    TOKEN_LENGTH,
    Claim,
    Purpose,
    Ring,
    stream_tag,
)
from gatepost.flow.decide.policy import NotConfiguredError
from gatepost.flow.edit import (
    BulkTreatment,
    Footer,
    Plan,
    Prepared,
    Signer,
    Slot,
    Treatment,
    apply,
    plan,
)
from gatepost.flow.edit.seven_bit import seven_bit
from gatepost.flow.edit.trace import date_value, message_id_value, received
from gatepost.flow.outbound import Tag
from gatepost.flow.transmit.commands import dotless, whole_lines
from gatepost.flow.transmit.copy import MAX_RECIPIENTS, Copy
from gatepost.mail.envelope import Recipient
from gatepost.mail.message import Message
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Kind, Stream
from gatepost.store.ids import to_text
from gatepost.store.spool.rows import Claimed, Submission

CHEAP_OCTETS = 64 * 1024
TOGETHER_OCTETS = 4_000_000  # of copies that are made in one go
MOST_TOGETHER = 100


class Composer:
    """Makes submissions ready, by the configuration in force.

    `takes_eight_bit` says whether an upstream takes 8-bit content, `None` while nobody knows.
    """

    def __init__(
        self,
        wiring: Callable[[], Wiring],
        texts: Texts,
        ring: Callable[[], Ring],
        takes_eight_bit: Callable[[str], bool | None] = lambda _: None,
    ) -> None:
        self._wiring = wiring
        self._texts = texts
        self._ring = ring
        self._takes_eight_bit = takes_eight_bit
        self._bulk_treatments: dict[str, tuple[Wiring, BulkTreatment]] = {}

    def __call__(self, submission: Submission, message: Message) -> "Ready":
        """Plans the edits of `submission`."""
        wiring = self._wiring()
        taken_for = submission.stream, submission.sender
        if not wiring.policy.knows(*taken_for, submission.kind):
            raise NotConfiguredError(*taken_for)
        stream = wiring.policy.streams.get(submission.stream)
        sender = wiring.policy.senders.get(submission.sender)
        bulk = None
        if stream is not None and sender is not None and stream.is_bulk:
            bulk = self._bulk(wiring, stream, sender)
        # A sender that was renamed signs what is queued all the same.
        signing = stream.sender if stream and sender is None else submission.sender
        keys = wiring.dkim.get(signing, ())
        client = wiring.settings.clients.get(submission.client)
        keeps_dkim = client is not None and client.keep_dkim and message.carries_dkim
        treatment = self._treatment(
            wiring,
            submission,
            bulk,
            [key.domain for key in keys],
            keeps_dkim=keeps_dkim,
        )
        drawn = plan(message, message.raw, treatment)
        signer = Signer(keys)
        return Ready(
            submission=submission,
            form=Form(drawn, signer),
            signer=signer,
            takes_eight_bit=self._takes_eight_bit,
            keeps_dkim=keeps_dkim,
            personal=bulk is not None,
            mailto=bool(bulk and bulk.mailto),
            verp=sender.bounce_domain if stream and sender and stream.verp else "",
            ring=self._ring(),
        )

    def _treatment(
        self,
        wiring: Wiring,
        submission: Submission,
        bulk: BulkTreatment | None,
        domains: Sequence[str],
        *,
        keeps_dkim: bool,
    ) -> Treatment:
        reference = to_text(submission.id)
        return Treatment(
            received=received(
                ehlo=submission.ehlo,
                peer=submission.peer,
                hostname=wiring.hostname,
                protocol=submission.protocol,
                cipher=submission.cipher,
                submission=reference,
                at=submission.received,
            )
            if submission.peer
            else b"",  # our own notices came from nowhere
            date=date_value(submission.received),
            message_id=message_id_value(reference, wiring.hostname),
            own_domains=frozenset(domains),
            keep_signatures=keeps_dkim,
            bulk=bulk,
        )

    def _bulk(self, wiring: Wiring, stream: Stream, sender: Sender) -> BulkTreatment:
        """What bulk mail of the stream gets, made once per configuration."""
        known = self._bulk_treatments.get(stream.name)
        if known is not None and known[0] is wiring:
            return known[1]
        made = self._make_bulk(wiring, stream, sender)
        self._bulk_treatments[stream.name] = wiring, made
        return made

    def _make_bulk(self, wiring: Wiring, stream: Stream, sender: Sender) -> BulkTreatment:
        base = sender.public_url.rstrip("/")
        others = {one.public_url.rstrip("/") for one in wiring.policy.senders.values()}
        footer = self._texts.footer(stream, sender, stream.language)
        identity = self._texts.identity(sender, stream.language)
        return BulkTreatment(
            list_id=_list_id(stream, sender),
            unsubscribe_base=f"{base}/u/",
            preferences_base=f"{base}/p/",
            footer=Footer(footer.text, footer.html),
            identity_text=identity.text,
            identity_html=identity.html,
            legal_name=sender.legal_name,
            postal_address=sender.postal_address,
            mailto=sender.unsubscribe_mailto,
            mailto_octets=ADDRESS_TOKEN_LENGTH,
            token_octets=TOKEN_LENGTH,
            feedback_id=f"{stream.name}:{sender.name}:gatepost",
            footer_always=stream.footer_always,
            placeholders=wiring.placeholders,
            other_links=tuple(
                (f"{other}/{path}/", meaning)
                for other in sorted(others - {base, ""})
                for path, meaning in (("u", "unsubscribe_url"), ("p", "preferences_url"))
            ),
        )


def _list_id(stream: Stream, sender: Sender) -> str:
    """A List-Id that stays the same as long as stream and link host do (R2919-3)."""
    host = sender.public_url.partition("://")[2].partition("/")[0].partition(":")[0]
    label = "".join(c if c.isalnum() and c.isascii() else "-" for c in stream.name.lower())
    is_name = not host.startswith("[") and not host.replace(".", "").isdigit()
    namespace = host if is_name else "localhost"
    return f"{label}.{namespace}"[:250]


class Look(NamedTuple):
    """What `Copy` wants to know of the lines of a content."""

    whole_lines: bool
    dotless: bool


class Form:
    """One way to make the copies of a submission; threads may share it."""

    __slots__ = ("_look", "_signed", "plan")

    def __init__(self, plan: Plan, signer: Signer) -> None:
        self.plan = plan
        self._look: Look | None = None
        self._signed: Prepared | None = signer.prepare(plan) if signer.keys else None

    @property
    def is_signed(self) -> bool:
        """Whether its copies carry signatures of ours."""
        return self._signed is not None

    @property
    def size(self) -> int:
        """The octets of a copy."""
        return self.plan.size if self._signed is None else self._signed.size

    def make(self, values: Mapping[Slot, bytes]) -> bytes:
        """One recipient's copy."""
        if self._signed is None:
            return apply(self.plan, values)
        return self._signed.sign(values, int(time.time()))

    def look_at(self, content: bytes) -> Look:
        """How the lines of all its copies are, of which `content` is one.

        Copies of one form differ in tokens, also in base64, which have no dots and are broken
        at the same places: one look does for all.
        """
        if self._look is None:
            self._look = Look(whole_lines(content) is content, dotless(content))
        return self._look


@dataclass(frozen=True, kw_only=True, eq=False)
class Ready:
    """A submission whose copies can be made; threads may share it."""

    submission: Submission
    form: Form
    signer: Signer
    takes_eight_bit: Callable[[str], bool | None]
    keeps_dkim: bool
    personal: bool
    mailto: bool
    verp: str
    ring: Ring

    @cached_property
    def seven_bit_form(self) -> Form | None:
        """The copies for an upstream without 8BITMIME, `None` where they cannot be (RQ-8)."""
        plan = None if self.keeps_dkim else seven_bit(self.form.plan)
        return Form(plan, self.signer) if plan else None

    @property
    def cheap(self) -> bool:
        """Whether composing is not worth a thread: small and unsigned."""
        return not self.form.is_signed and self.form.plan.size < CHEAP_OCTETS

    @property
    def weight(self) -> int:
        """The octets that are held as long as this is: of the plan, and what is signed of it."""
        return self.form.plan.size * (2 if self.form.is_signed else 1)

    @property
    def together(self) -> int:
        """For how many rows copies may be made at once."""
        if not self.personal:
            return MOST_TOGETHER
        return max(1, min(MOST_TOGETHER, TOGETHER_OCTETS // self.form.size))

    def weigh(self, rows: int) -> int:
        """The octets of the copies for so many rows."""
        return self.form.size * (rows if self.personal else -(-rows // MAX_RECIPIENTS))

    def copies(self, rows: Sequence[Claimed], decided_at: datetime) -> list[Copy]:
        """One copy per row for bulk mail; else one for up to 100 rows, body untouched."""
        form, convertible = self._form_for(rows[0].upstream)
        if not self.personal:
            content = form.make({})
            return [
                self._copy(
                    tuple(rows[start : start + MAX_RECIPIENTS]), content, form, decided_at,
                    convertible=convertible,
                )
                for start in range(0, len(rows), MAX_RECIPIENTS)
            ]  # fmt: skip
        return [
            self._copy(
                (row,), form.make(self._values(row)), form, decided_at, convertible=convertible
            )
            for row in rows
        ]

    def _copy(
        self,
        rows: tuple[Claimed, ...],
        content: bytes,
        form: Form,
        decided_at: datetime,
        *,
        convertible: bool,
    ) -> Copy:
        submission = self.submission
        list_mode = bool(self.verp and submission.mail_from and self.personal)  # R0-5, R0-6
        recipients = tuple([row.recipient for row in rows])
        if list_mode:
            recipients = tuple([Recipient(one.address) for one in recipients])
        look = form.look_at(content)
        return Copy(
            mail_from=self._return_path(rows[0]) if list_mode else submission.mail_from,
            recipients=recipients,
            content=content,
            smtputf8=submission.smtputf8,
            eight_bit=form.plan.eight_bit,
            convertible=convertible,
            whole_lines=look.whole_lines,
            dotless=look.dotless,
            envid="" if list_mode else submission.envid,
            ret="" if list_mode else submission.ret,
            urgent=submission.kind is not Kind.BULK,
            tag=Tag(rows, decided_at),
        )

    def _form_for(self, upstream: str) -> tuple[Form, bool]:
        """How to make copies for `upstream`, and whether there is yet another way."""
        if not self.form.plan.eight_bit:
            return self.form, False
        if self.takes_eight_bit(upstream) is False:
            return self.seven_bit_form or self.form, False
        return self.form, True

    def _claim(self, row: Claimed) -> Claim:
        return Claim(row.subject, stream_tag(self.submission.stream), self.submission.id)

    def _values(self, row: Claimed) -> dict[Slot, bytes]:
        claim = self._claim(row)
        values = {
            Slot.UNSUBSCRIBE: self.ring.seal_bytes(Purpose.UNSUBSCRIBE, claim),
            Slot.PREFERENCES: self.ring.seal_bytes(Purpose.PREFERENCES, claim),
        }
        if self.mailto:
            values[Slot.MAILTO] = self.ring.seal_for_address(Purpose.MAILTO, claim).encode()
        return values

    def _return_path(self, row: Claimed) -> str:
        token = self.ring.seal_for_address(Purpose.BOUNCE, self._claim(row))
        return f"{token}@{self.verp}"
