"""Whether a letter of our own may go to somebody: asked when it is written and when it is claimed.

Letters need no consent: they answer what the person did. But whoever may not be mailed at all (a
hard bounce, suppressed by hand) gets none, also where that came while the letter waited (ME-13).
One kind passes a bounce: the letter that asks for a confirmation, because nothing else can show
that the address works again (E4, JU-24).

In: the rule by which the letter was let go, and the person. Out: the verdict that stops it.
*Fails:* never.
"""

from gatepost.consent.standing import Person
from gatepost.mail.verdict import Disposition, Reason, Verdict

LETTER = "letter"
ASKING = "letter-that-asks"
# What a person's own, later act overcomes; a letter that asks for that act may go.
_CURABLE = frozenset({"hard-bounce", "soft-bounces", "erased"})


def stop_letter(rule: str, person: Person) -> Verdict | None:
    """The verdict that stops a letter let go by `rule`; `None` for whatever may go."""
    if rule not in {LETTER, ASKING}:
        return None
    for one in person.suppressions:
        if one.scope == "all" and not (rule == ASKING and one.reason in _CURABLE):
            reason = Reason.ERASED if one.reason == "erased" else Reason.SUPPRESSED
            drop = Disposition.DROP
            return Verdict(drop, reason, "suppressed-for-all", one.since, one.reason)
    return None
