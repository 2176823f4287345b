"""The reckoning of `make soak`: what clients were told, what upstream took, what the store says.

A mail has a subject of its own, so that (subject, address) is one recipient of one submission.
`reckon` is pure; `read_book` and `read_rows` bring it what it needs.

* *lost*: acknowledged and without a row, or never finished, or delivered in the books alone;
* *duplicates*: copies beyond the first; each must be explained by an answer that was lost between
  the two, because the line was closed or a process was killed;
* *late*: bulk copies that began more than a second after the withdrawal was answered.
"""

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import text

from gatepost.mail.recipient_state import FINAL

LOST_WITH_LINE_SECONDS = 5.0  # how long before its line closed an answer may have been under way
OBEYED_WITHIN_SECONDS = 1.0
OURS = re.compile(r"(News|Receipt|Letter) \d+")  # and not the gateway's own reports
PARKED = {"quarantined"}  # an end until somebody releases it
_ROWS = text(
    "SELECT s.subject, r.address, r.state FROM recipient r JOIN submission s ON s.id = r.submission"
)


class Taken(NamedTuple):
    """One copy that upstream took, for one recipient."""

    subject: str
    address: str
    began: float  # its first octet of content
    ended: float
    answered: bool


class Row(NamedTuple):
    """One recipient in the store."""

    subject: str
    address: str
    state: str


@dataclass
class Account:
    """How it came out."""

    accepted: int = 0
    states: Counter = field(default_factory=Counter)
    copies: int = 0
    lost: list = field(default_factory=list)
    duplicates: int = 0
    unexplained: list = field(default_factory=list)
    late: list = field(default_factory=list)
    violations: list = field(default_factory=list)

    @property
    def sound(self):
        """Whether nothing is wrong."""
        return not (self.lost or self.unexplained or self.late or self.violations)


@dataclass
class Book:
    """What upstream wrote down."""

    copies: list = field(default_factory=list)
    links: dict = field(default_factory=dict)  # address → (link, return path)
    moods: Counter = field(default_factory=Counter)
    violations: list = field(default_factory=list)


def reckon(acknowledged, rows, copies, withdrawals, upsets):
    """The account.

    `acknowledged` holds (subject, address) of everything that was answered 250; `withdrawals`
    maps addresses to when leaving was answered; `upsets` are the times at which a process at
    either end was killed or stopped.
    """
    account = Account(accepted=len(acknowledged), copies=len(copies))
    account.states = Counter(row.state for row in rows)
    states = {(row.subject, row.address): row.state for row in rows}
    taken = defaultdict(list)
    for copy in copies:
        taken[copy.subject, copy.address].append(copy)
    for key in acknowledged:
        state = states.get(key, "no row")
        if state not in FINAL and state not in PARKED:
            account.lost.append((*key, state))
    account.lost += [
        (*key, "delivered to nobody")
        for key, state in states.items()
        if state == "delivered" and key not in taken
    ]
    for key, those in taken.items():
        those.sort(key=lambda copy: copy.ended)
        for one, other in pairwise(those):
            account.duplicates += 1
            if one.answered and not any(one.began <= upset <= other.ended for upset in upsets):
                account.unexplained.append((*key, one.ended, other.began))
    account.late = [
        copy
        for copy in copies
        if copy.subject.startswith("News")
        and copy.began > withdrawals.get(copy.address, copy.began) + OBEYED_WITHIN_SECONDS
    ]
    return account


def read_book(path):
    """What upstream wrote; a last line that was cut off is left out."""
    book, entries, closed = Book(), [], defaultdict(list)
    for line in path.read_text().splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue  # it was killed while it wrote; nothing was answered after that
        if "subject" in found:
            entries.append(found)
        elif "closed" in found:
            closed[tuple(found["closed"])].append(found["at"])
        elif "mood" in found:
            book.moods[found["mood"]] += 1
        else:
            book.violations += found["violations"]
    for one in entries:
        refused = one["reply"] and not one["reply"].startswith("2")
        if refused or not OURS.fullmatch(one["subject"]):
            continue
        answered = bool(one["reply"]) and not any(
            -0.1 <= at - one["ended"] <= LOST_WITH_LINE_SECONDS for at in closed[tuple(one["line"])]
        )
        for address in one["recipients"]:
            book.copies.append(Taken(one["subject"], address, one["began"], one["ended"], answered))
            if one["link"]:
                book.links[address] = (one["link"], one["mail_from"])
    return book


def read_rows(store):
    """Every recipient of every submission of the clients'."""
    found = store.read_now(lambda tx: tx.connection.execute(_ROWS).all())
    return [Row(*row) for row in found if OURS.fullmatch(row[0])]
