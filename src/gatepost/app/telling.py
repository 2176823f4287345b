"""A verdict in words, for whoever asks about one person: what stands, why, and what would help.

In: the verdict and what it was weighed from. Out: two sentences in English, for commands and
the API: why mail is or is not sent, and the cure, "" where nothing needs one or nothing helps.
"""

from collections.abc import Mapping
from types import MappingProxyType

from gatepost.consent.standing import Grant
from gatepost.mail.stream import Stream
from gatepost.mail.verdict import Reason, Verdict
from gatepost.store.suppressing import NOT_FOR_STAFF

_NEW = "a new consent through a source with a valid text"
_IN_ORDER = (
    "put the source in order (gatepost source show, gatepost source activate) and import them "
    f"again, if that is what they saw; else {_NEW}"
)
# Reason → why, and the cure. Each has: given, day, note, stream, limits.
_TOLD: Mapping[Reason, tuple[str, str]] = MappingProxyType({
    Reason.CONSENTED: ("{given}", ""),
    Reason.OBSERVED: ("{stream} only observes; what is missing: {note}", ""),
    Reason.NO_CONSENT: ("{given}, and nothing that was given before now", _NEW),
    Reason.WITHDRAWN: (
        "left on {day}, and nothing since counts as coming back",
        "if they came back: gatepost consent grant --explanation; they can by the link in any mail",
    ),
    Reason.SUPPRESSED: ("since {day}: {note}", ""),
    Reason.ERASED: ("erased on {day}", NOT_FOR_STAFF["erased"]),
    Reason.UNCONFIRMED: (
        "{given}, and not confirmed",
        "their own confirmation, by the link in the mail they got; no reminder is sent",
    ),
    Reason.EXPIRED: ("{given}, and that is too long ago", _NEW),
    Reason.DORMANT: (
        "{given}, and no sign of life for too long",
        "a sign of life, such as a purchase or a choice on the preferences page",
    ),
    Reason.WEAK_BASIS: ("{given}: not strong enough a consent for {stream}", _NEW),
    Reason.FORBIDDEN_SOURCE: ("{given}: a basis that never counts", _NEW),
    Reason.UNVERIFIED_SOURCE: ("{given}: nobody can verify it", _IN_ORDER),
    Reason.INVALID_TEXT: ("{given}: that text was no valid consent then", _IN_ORDER),
    Reason.OUTSIDE_SCOPE: ("{given}: {limits}", "a consent to this company that covers it"),
    Reason.WELCOME_PENDING: ("{given}, and the welcome mail is not out yet", ""),
    Reason.ROLE_ADDRESS: (
        "a role, not a person: nobody can consent for it",
        'role_addresses = "allow" on the stream, where somebody by name did',
    ),
})  # fmt: skip

_SUPPRESSED = MappingProxyType({
    "unsubscribed": "unsubscribed from everything of this sender",
    "complaint": "complained about a mail",
    "hard-bounce": "the address does not exist (hard-bounce)",
    "soft-bounces": "mail did not arrive several times (soft-bounces)",
    "manual": "suppressed by hand",
})  # fmt: skip


def why(verdict: Verdict, grant: Grant | None, stream: Stream) -> str:
    """Why mail of the stream is sent to the person, or is not."""
    told, _ = _TOLD.get(verdict.reason, (verdict.reason.value, ""))
    return told.format(
        given=_given(grant),
        day=f"{verdict.since:%Y-%m-%d}" if verdict.since else "an unknown day",
        note=_SUPPRESSED.get(verdict.note, verdict.note),
        stream=stream.name,
        limits=_limits(grant),
    )


def cure(verdict: Verdict) -> str:
    """What would make them eligible; "" where they are, or only waiting helps."""
    if verdict.reason is Reason.SUPPRESSED:
        return NOT_FOR_STAFF.get(verdict.note, "gatepost suppression remove, with a note")
    return _TOLD.get(verdict.reason, ("", ""))[1]


def _limits(grant: Grant | None) -> str:
    if grant is None or grant.off_channel:
        return "for other channels than e-mail"
    return f"limited to {', '.join(grant.categories)}"


def _given(grant: Grant | None) -> str:
    if grant is None:
        return "nothing on record"
    text = f", text {grant.text_version}" if grant.text_version else ""
    through = f" through {grant.source}{text}" if grant.source else ""
    act = "asked for" if grant.pending else "given"
    return f"{grant.basis or 'a bare act'} {act} on {grant.effective_at:%Y-%m-%d}{through}"
