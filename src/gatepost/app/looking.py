"""Whom a run of retention looks at: page by page, and remembered once it was done.

First, after other rules came into force, everybody; then whoever has new events; then whoever
is to be looked at by now (`store/looks.py`). Reading alone changes nothing, so that a dry run sees
what a run would.

In: the store, the rules. Out: `Page`s; what to remember, with the looks that come next.
*Fails:* `StoreUnavailable`.
*Known limits:* somebody may be in several pages.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b

from gatepost.consent.bases import Bases
from gatepost.consent.retention import Terms
from gatepost.store import looks, strangers
from gatepost.store.engine import Store, Tx
from gatepost.store.looks import STRANGERS, Look, Round

_JUDGEMENT = 1  # to be raised when the same rules come to judge otherwise
_UNWRITTEN = 50  # pages without anything to note until it is written how far it has come


@dataclass(frozen=True, slots=True)
class Page:
    """People to be looked at together.

    `so_far` is where to go on once that was done, `taken` the looks that are over then;
    `strangers` are those among them of whom nothing is on record.
    """

    people: Sequence[int]
    so_far: Round
    taken: Sequence[Look] = ()
    strangers: Sequence[int] = ()


class Looking:
    """One round, with what it remembers."""

    def __init__(self, store: Store, terms: Terms, bases: Bases, rest: float = 0.0) -> None:
        """`rest` are the seconds between two pages of the round through everybody."""
        self._store, self._rest = store, rest
        rules = repr((_JUDGEMENT, terms, bases)).encode()
        self._rules = blake2b(rules, digest_size=16, person=b"retention").hexdigest()
        self._unwritten = 0

    def pages(self) -> Iterator[Page]:
        """Everybody who must be looked at now."""
        read = self._store.survey_now
        so_far = read(partial(looks.where, rules=self._rules))
        while so_far.after is not None:
            people = read(partial(looks.people_after, after=so_far.after))
            unknown = read(partial(strangers.among, ids=people)) if people else ()
            so_far = replace(so_far, after=people[-1] if people else None)
            yield Page(people, so_far, strangers=unknown)
            time.sleep(self._rest)
        last = so_far.mark
        while page := read(partial(looks.news, mark=last)):
            last = page.last
            so_far = replace(so_far, mark=max(so_far.mark, page.settled or 0))
            yield Page(page.subjects, so_far)
        after = looks.FIRST
        while due := read(partial(looks.due, after=after)):
            after = due[-1]
            yield Page([look.subject for look in due], so_far, taken=due)

    def done(self, page: Page, further: Sequence[Look]) -> None:
        """Remembers that a page was looked at, and what looks come next."""
        new = [*further, *(Look(STRANGERS, number) for number in page.strangers)]
        self._unwritten += 1
        whole = page.so_far.after is None
        if not new and not page.taken and self._unwritten < _UNWRITTEN and not whole:
            return
        self._unwritten = 0

        def write(tx: Tx) -> None:
            looks.strike(tx, page.taken)
            looks.note(tx, new)
            looks.remember(tx, page.so_far)

        self._store.write_now(write)
