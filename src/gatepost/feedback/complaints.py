"""Complaints: feedback reports (ARF, RFC 5965), and which copy of ours they are about.

In: a scanned message. Out: a `Complaint`. Read leniently: unknown fields are passed over,
unknown types and redacted reports are taken (RFC 6650 §4.5); what breaks the format is said
in `malformed`, so that a person can look at it. The copy is known by its token alone, because
addresses are redacted (RA-3): first from the copy that the report carries, then from the
report's fields (RFC 5965 §2.g).

*Fails:* never.
*Known limits:* who made the report is not checked; whoever holds a token may leave by it, too.
"""

from dataclasses import dataclass

from gatepost.feedback.groups import every, read_groups
from gatepost.feedback.marks import Marks, find_original, marks_in, marks_on
from gatepost.mail.message import Message

_MEDIA = "message/feedback-report"
# Types by which a recipient says that the mail is not wanted (RFC 5965 §7.3 and older ones).
_AGAINST = frozenset({
    "abuse", "fraud", "virus", "complaint", "opt-out", "opt-out-list", "miscategorized",
})  # fmt: skip
_ONCE = ("feedback-type", "user-agent", "version")


@dataclass(frozen=True, slots=True)
class Complaint:
    """A feedback report. `type` is in lower case, "" where the report names none or several."""

    type: str
    marks: Marks
    malformed: bool = False

    @property
    def is_against(self) -> bool:
        """Whether the recipient wants no more of it; other types ask for a person's eyes."""
        return self.type in _AGAINST

    @property
    def is_praise(self) -> bool:
        """Whether the recipient took the mail out of the spam folder."""
        return self.type == "not-spam"


def find_complaint(message: Message) -> Complaint | None:
    """The report in `message`, `None` if it is not one."""
    part = next((part for part in message.parts if part.media == _MEDIA), None)
    if part is None:
        return None
    groups = read_groups(message.content(part))
    types = {value.partition("(")[0].strip().lower() for value in every(groups, "feedback-type")}
    original = find_original(message)
    fields = [*every(groups, "original-mail-from"), *every(groups, "reported-uri")]
    return Complaint(
        type=types.pop() if len(types) == 1 else "",
        marks=(marks_on(original) if original else Marks()) or marks_in(*fields),
        malformed=original is None
        or any(len(every(groups, name)) != 1 for name in _ONCE)
        or bool(every(groups, "received-date") and every(groups, "arrival-date")),
    )


def find_reported_copy(message: Message) -> Marks:
    """The marks on a copy that came as an attachment, without a report (older loops)."""
    original = find_original(message)
    return marks_on(original) if original else Marks()
