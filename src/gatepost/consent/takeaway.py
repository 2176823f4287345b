"""A standing → the rows of an import file that come to the same somewhere else.

In: what a person's events come to for one stream. Out: rows by column name, as `rows` reads
them: one for the withdrawal, one for each piece of evidence.

*Fails:* never.
*Known limits:* signs of life have no column, so that a person may count as dormant a little
earlier there. Who came back by themselves comes back there on the explanation that the row
carries, which lifts a withdrawal but no complaint: the safe side.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from gatepost.consent.standing import Grant, Standing

COLUMNS = (
    "address", "stream", "basis", "event_at", "confirmed_at", "last_activity_at", "ends_at",
    "source", "text_version", "categories", "withdrawn_at", "explanation",
)  # fmt: skip


class TakeawayRow(NamedTuple):
    """One row; `customer` says that it is to be imported as existing-customer consent (WP-8)."""

    values: Mapping[str, str]
    customer: bool = False


def rows_of(
    address: str, stream: str, standing: Standing, explanations: Mapping[str, str]
) -> Iterator[TakeawayRow]:
    """The rows about one person and one stream.

    `explanations` says how they came back, by the time of the act (`moment`).
    """
    given = {"address": address, "stream": stream}
    left = standing.withdrawn_at
    if left is not None:
        yield TakeawayRow({**given, "withdrawn_at": moment(left)})
    evidence = standing.evidence()
    for grant in evidence:
        if not grant.basis or (grant.pending and _is_confirmed(grant, evidence)):
            continue
        returned = left is not None and grant.lifts_withdrawal and grant.effective_at > left
        act = grant.renewed_at or grant.at
        if returned and act <= (left or act):
            act = grant.effective_at  # what brought them back is the confirmation
        values = {
            **given,
            "basis": grant.basis,
            "event_at": moment(act),
            "confirmed_at": moment(grant.confirmed_at) if grant.confirmed_at else "",
            "last_activity_at": moment(grant.last_activity_at) if grant.last_activity_at else "",
            "ends_at": moment(grant.ends_at) if grant.ends_at else "",
            "source": grant.source,
            "text_version": grant.text_version,
            "categories": "|".join(grant.categories),
            "explanation": _explanation(grant, explanations) if returned else "",
        }
        yield TakeawayRow(values, customer=grant.soft_opt_in)


def moment(value: datetime) -> str:
    """A time as import files have it: ISO 8601, UTC, milliseconds."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_confirmed(asked: Grant, evidence: tuple[Grant, ...]) -> bool:
    return any(
        not one.pending and (one.basis, one.source, one.at) == (asked.basis, asked.source, asked.at)
        for one in evidence
    )


def _explanation(grant: Grant, explanations: Mapping[str, str]) -> str:
    told = explanations.get(moment(grant.effective_at)) or explanations.get(moment(grant.at))
    return told or "came back by their own act, as the events of the former gateway show"
