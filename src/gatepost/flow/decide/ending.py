"""When somebody who may be mailed today will not be any more, if nothing happens until then.

In: a `Case`. Out: an `Ending`: the first moment at which the rules would refuse, why, and the
grant that carries the mail until then. It is computed by the clocks that the rules themselves
look at (`evidence.expires_at`, `evidence.dormant_at`), so the two cannot drift apart.

*Known limits:* it foresees no withdrawal, no suppression, and no change of the configuration.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from gatepost.consent.standing import Grant
from gatepost.flow.decide.case import Case
from gatepost.flow.decide.evidence import dormant_at, expires_at, qualifying, weigh
from gatepost.flow.decide.rules import decide
from gatepost.mail.verdict import Reason


@dataclass(frozen=True, slots=True)
class Ending:
    """`at` is the first moment of not being eligible, `reason` why."""

    at: datetime
    reason: Reason
    grant: Grant


def ending(case: Case) -> Ending | None:
    """When eligibility ends; `None` where it does not, or there is none at `case.now`."""
    if not case.stream.is_bulk or decide(case).reason is not Reason.CONSENTED:
        return None
    moment = case
    while True:
        carrying = qualifying(moment)
        if not carrying:
            break
        ends = [_end_of(grant, moment) for grant in carrying]
        latest = max((end for end in ends if end is not None), default=None)
        if latest is None or None in ends:
            return None  # one of them lasts for ever
        moment = replace(moment, now=latest)
    weighing = weigh(moment)
    if weighing.lack is None or weighing.grant is None:
        return None
    return Ending(moment.now, weighing.lack, weighing.grant)


def _end_of(grant: Grant, case: Case) -> datetime | None:
    ends = (expires_at(grant, case.bases.find(grant.basis), case), dormant_at(grant, case))
    return min((end for end in ends if end is not None), default=None)
