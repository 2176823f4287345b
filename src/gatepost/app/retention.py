"""The retention run: what is no longer needed goes, by rule, setting and date.

In: the store, the settings and the bases in force. Out: `Step`s, one per rule: what went or, in
a dry run, would go, and why. `gatepost retention run` and, once a day, `serve` do the same.

Everything goes in slices, each a transaction of its own, and what is to go is looked for by
readers, so that mail is not held up. A run that was broken off is simply made again: each
slice leaves the store whole, a person is erased from the last places before the ledger says
so, and nothing is counted twice.

*Fails:* `StoreUnavailable`.
*Known limits:* a file that cannot be written is named, and tried again at the next erasure.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from gatepost.app import rejects
from gatepost.app.looking import Looking, Page
from gatepost.config import Settings
from gatepost.consent.bases import Bases
from gatepost.consent.retention import EVIDENCE_TERM, REQUEST, UNCONFIRMED, Terms
from gatepost.store import (
    complaint_cases,
    content,
    looks,
    places,
    purging,
    retention,
    strangers,
    uses,
    written,
)
from gatepost.store.engine import Store, Tx
from gatepost.store.looks import STRANGERS, Look
from gatepost.store.purging import Old
from gatepost.store.retention import Due, Judged
from gatepost.store.spool import quarantine

DAILY = timedelta(days=1)
_TOGETHER, _PAGES = 2000, 50  # people whose mail is looked for at once, of so many pages at most

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one rule does: how many of what, by which setting, and from and to which date.

    `before` is the moment before which things must have happened to go now; `first` and `last`
    are the earliest and latest due date among people.
    """

    rule: str
    what: str
    setting: str
    term: str
    count: int
    before: datetime | None = None
    first: datetime | None = None
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did, or would do; and what it could not reach."""

    steps: Sequence[Step]
    places: Counter[str] = field(default_factory=Counter)
    unreachable: Sequence[str] = ()


class Retention:
    """One run, by the settings and the clock of the moment it is made."""

    def __init__(self, store: Store, settings: Settings, bases: Bases, rest: float = 0.0) -> None:
        """`rest` are seconds in which others get on, after every page of people."""
        kept = settings.retention
        self._store, self._bases = store, bases
        self._terms = Terms(evidence=kept.evidence, unconfirmed=kept.unconfirmed)
        self._lengths = {
            "retention.evidence": kept.evidence,
            "retention.unconfirmed": kept.unconfirmed,
            "retention.content": kept.content,
            "retention.verdicts": kept.verdicts,
            "links.lifetime": settings.links.lifetime or kept.verdicts,
            "retention.campaigns": kept.campaigns,
            "quarantine.keep": settings.quarantine.keep,
        }
        self._now = store.now()
        # A link's age is that of its submission, so the row stays as long as the link works.
        self._rows = min("retention.verdicts", "links.lifetime", key=self._before)
        self._looking = Looking(store, self._terms, bases, rest)
        self._places: Counter[str] = Counter()
        self._unreachable: list[str] = []

    def preview(self) -> Report:
        """What would go now, and why; changes nothing."""
        read = self._store.survey_now
        rows = self._before(self._rows)
        silent = self._before("retention.campaigns")
        due = self._due_people()
        submissions, recipients = read(partial(purging.count_submissions, finished_before=rows))
        over = read(partial(content.count_due, finished_before=self._before("retention.content")))
        steps = [
            self._step("content-term", "messages", "retention.content", over),
            self._step(
                "campaign-term", "complaint cases", "retention.campaigns",
                read(partial(complaint_cases.count_old, closed_before=silent)),
            ),
            self._step(
                "quarantine-term", "held recipients", "quarantine.keep",
                read(quarantine.count_expired), dated=False,
            ),
            *self._people_steps(due),
            self._step("verdict-term", "submissions", self._rows, submissions),
            self._step("verdict-term", "recipients' rows", self._rows, recipients),
            self._step(
                "campaign-term", "campaigns", "retention.campaigns",
                read(partial(purging.count_campaigns, silent_before=silent, finished_before=rows)),
            ),
            self._step(
                "no-record", "addresses of strangers", self._rows,
                self._count_strangers(),
            ),
        ]  # fmt: skip
        return Report(steps)

    def run(self, advance: Advance = lambda _count: None) -> Report:
        """Does it; `advance` hears of every slice."""
        rows = self._before(self._rows)
        self._store.survey_now(uses.touch)
        while self._store.write_now(uses.gather):
            self._store.survey_now(uses.touch)
        over = self._until_done(
            partial(content.purge, finished_before=self._before("retention.content")), advance
        )
        closed = self._before("retention.campaigns")
        steps = [
            self._step("content-term", "messages", "retention.content", over),
            self._step(
                "campaign-term", "complaint cases", "retention.campaigns",
                self._until_done(partial(complaint_cases.purge, closed_before=closed), advance),
            ),
            self._step(
                "quarantine-term", "held recipients", "quarantine.keep",
                self._until_done(quarantine.expire, advance), dated=False,
            ),
            *self._people_steps(self._erase_people(advance)),
        ]  # fmt: skip
        self._forget_left_over()
        submissions, recipients = self._purge_rows(rows, advance)
        silent = self._before("retention.campaigns")
        campaigns = self._until_done(
            partial(purging.purge_campaigns, silent_before=silent), advance
        )
        strangers = self._forget_strangers(advance)
        steps += [
            self._step("verdict-term", "submissions", self._rows, submissions),
            self._step("verdict-term", "recipients' rows", self._rows, recipients),
            self._step("campaign-term", "campaigns", "retention.campaigns", campaigns),
            self._step("no-record", "addresses of strangers", self._rows, strangers),
        ]
        self._store.empty_log()
        return Report(steps, +self._places, self._unreachable)

    def _before(self, setting: str) -> datetime:
        return self._lengths[setting].before(self._now)

    def _step(self, rule: str, what: str, setting: str, count: int, *, dated: bool = True) -> Step:
        return Step(
            rule=rule,
            what=what,
            setting=setting,
            term=str(self._lengths[setting]),
            count=count,
            before=self._before(setting) if dated else None,
        )

    def _people_steps(self, due: Sequence[Due]) -> Iterator[Step]:
        for rule, setting in (
            (EVIDENCE_TERM, "retention.evidence"),
            (REQUEST, "retention.evidence"),
            (UNCONFIRMED, "retention.unconfirmed"),
        ):
            dates = sorted(one.expiry.due for one in due if one.rule == rule)
            yield Step(
                rule=rule,
                what="people",
                setting=setting,
                term=str(self._lengths[setting]),
                count=len(dates),
                before=self._before(setting),
                first=dates[0] if dates else None,
                last=dates[-1] if dates else None,
            )

    def _due_people(self) -> list[Due]:
        """Who is due, as readers see it."""
        due: dict[int, Due] = {}
        for page in self._looking.pages():
            due.update((one.subject, one) for one in self._judge(page.people).due)
        return list(due.values())

    def _judge(self, people: Sequence[int]) -> Judged:
        judge = partial(retention.judge, ids=people, terms=self._terms, bases=self._bases)
        return self._store.survey_now(judge)

    def _erase_people(self, advance: Advance) -> list[Due]:
        erased: list[Due] = []
        for judged in self._judged():
            ids = [one.subject for _, found in judged for one in found.due]
            people = self._store.survey_now(partial(places.who_are, ids=ids))
            count, unreachable = forget(self._store, people)  # reads all mail: of many at once
            self._places += count
            self._unreachable += unreachable
            for page, found in judged:
                looks = [*found.looks]
                for start in range(0, len(found.due), retention.SLICE):
                    some = [one.subject for one in found.due[start : start + retention.SLICE]]
                    erase = partial(
                        retention.erase_due, ids=some, terms=self._terms, bases=self._bases
                    )
                    done = self._store.write_now(erase)
                    looks += done.looks
                    erased += done.due
                    advance(len(done.due))
                self._looking.done(page, looks)
        return erased

    def _judged(self) -> Iterator[list[tuple[Page, Judged]]]:
        """The pages of people, judged: many together where somebody is due, else one by one."""
        together: list[tuple[Page, Judged]] = []
        due = 0
        for page in self._looking.pages():
            judged = self._judge(page.people)
            together.append((page, judged))
            due += len(judged.due)
            if not 0 < due < _TOGETHER or len(together) >= _PAGES:
                yield together
                together, due = [], 0
        if together:
            yield together

    def _count_strangers(self) -> int:
        """How many addresses `_forget_strangers` would blank, as readers see it."""
        read, rows = self._store.survey_now, self._before(self._rows)
        known: set[int] = set()
        for page in self._looking.pages():
            known.update(page.strangers)
        for found in self._old_submissions():
            ids = [old.id for old in found]
            known.update(read(partial(strangers.of_mail, submissions=ids)))
        after = 0
        while page_of := read(partial(looks.strangers, after=after)):
            known.update(page_of)
            after = page_of[-1]
        return len(read(partial(strangers.split, ids=sorted(known), before=rows)).idle)

    def _forget_strangers(self, advance: Advance) -> int:
        total, after, rows = 0, 0, self._before(self._rows)
        while ids := self._store.survey_now(partial(looks.strangers, after=after)):
            after = ids[-1]
            found = self._store.survey_now(partial(strangers.split, ids=ids, before=rows))
            over = set(ids) - set(found.later)
            if over:
                forget = partial(strangers.forget, idle=found.idle, looked_at=over)
                done = self._store.write_now(forget)
                total += done
                advance(done)
        return total

    def _forget_left_over(self) -> None:
        """What was on its way when its recipient was erased, and has arrived."""
        self._places += _forget_mail(self._store, self._store.survey_now(places.still_known))
        while True:
            found = self._store.survey_now(places.left_over)
            if not found.rows:
                return
            count = self._store.write_now(partial(places.forget, found=found))
            self._places += count
            if not count["rows of mail blanked"]:
                return

    def _old_submissions(self) -> Iterator[Sequence[Old]]:
        look = partial(purging.old_submissions, finished_before=self._before(self._rows))
        after: int | None = 0
        before: Sequence[Old] = ()
        while after is not None:
            found, after = self._store.survey_now(partial(look, after=after))
            if new := [old for old in found if old not in before]:
                yield new
            before = found

    def _purge_rows(self, before: datetime, advance: Advance) -> tuple[int, int]:
        submissions = recipients = 0
        for found in self._old_submissions():
            for portion in _portions(found):
                ids = [old.id for old in portion]
                unknown = self._store.survey_now(partial(strangers.of_mail, submissions=ids))

                def purge(tx: Tx, ids: list[int] = ids, unknown: list[int] = unknown) -> int:
                    looks.note(tx, [Look(STRANGERS, number) for number in unknown])
                    return purging.purge(tx, ids, before)

                gone = self._store.write_now(purge)
                submissions += gone
                recipients += sum(old.recipients for old in portion)
                advance(gone)
        return submissions, recipients

    def _until_done(self, do: Callable[[Tx], int], advance: Advance) -> int:
        total = 0
        while count := self._store.write_now(do):
            total += count
            advance(count)
        return total


def forget(store: Store, people: Sequence[places.Who]) -> tuple[Counter[str], list[str]]:
    """Takes these people out of every place but the ledger: counts, and files out of reach."""
    if not people:
        return Counter(), []
    done = _forget_mail(store, people)
    done += store.write_now(partial(places.forget_elsewhere, people=people))
    unreachable: list[str] = []
    gone: list[Path] = []
    keys = {who.address.key for who in people if who.address}
    for file in store.survey_now(written.files):
        rows = rejects.forget(file.path, keys)
        if rows is None:
            if file.at < store.now() - DAILY:  # else it may be about to be written
                gone.append(file.path)
        elif rows < 0:
            unreachable.append(str(file.path))
        else:
            done["rows of files removed"] += rows
    for path in gone:
        store.write_now(partial(written.forget_file, path=path))
    return done, unreachable


def _forget_mail(store: Store, people: Sequence[places.Who]) -> Counter[str]:
    """Ends and blanks the mail to and by these people."""
    done: Counter[str] = Counter()
    found = store.survey_now(partial(places.find, people=people))
    for portion in places.slices(found):
        done += store.write_now(partial(places.forget, found=portion))
    return done


def _portions(found: Sequence[Old]) -> Iterator[list[Old]]:
    """Submissions that together have few recipients enough for one transaction."""
    portion: list[Old] = []
    for one in found:
        if portion and sum(old.recipients for old in portion) + one.recipients > purging.SLICE:
            yield portion
            portion = []
        portion.append(one)
    if portion:
        yield portion
