"""The driver of `gatepost consent import`: a file, row by row, into the ledger.

The file is read three times, each time row by row: once to count it and to know it again,
once for everybody who left, once for what they agreed to. So no grant is seen before the
withdrawals of the same file. Rows go into the ledger by the batch, one transaction each,
while the next rows are read; a batch is as large as what a running `serve` can wait for.

Each transaction also notes how far the import has come (`store.imports`). Broken off at any
moment, nothing of a row is half there, and the same command goes on behind the last batch. A
second import of a file that went through finds everything known and adds nothing.

In: a path and a `Plan`. Out: a `Tally`, and a file of the rows that were refused (`rejects`).
*Fails:* `Refusal` for a file that cannot be used; `StoreUnavailable`, after which the same
import can be repeated.
*Known limits:* the file must be one that can be read again, not a pipe.
"""

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from gatepost.cli.consent_sifting import Item, Sieve, Sift, Sifted
from gatepost.cli.desk import Refusal, say
from gatepost.cli.listfile import Row, Sheet, open_sheet
from gatepost.cli.printing import progress
from gatepost.cli.rejects import Refused, Rejects
from gatepost.consent import rows
from gatepost.consent.columns import ColumnError, Columns, choose
from gatepost.consent.evidence import EventKind
from gatepost.consent.rows import Defaults, Frame, RowError
from gatepost.store import imports, people, written
from gatepost.store.engine import Store, Tx
from gatepost.store.scratch import Scratch

BATCH = 4000  # rows per transaction, at most
_FEWEST = 50
_WAIT_SECONDS = 0.06  # how long a running `serve` is kept from writing
_PASSED = 20_000  # rows of a batch when most of them have nothing to say
_STAGES = ("withdrawals", "grants")

_VARYING = re.compile(r"(['\"]).*?\1|\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to import, how to read it, and where refused rows go."""

    file: Path
    encoding: str
    rejects: Path
    renamed: Mapping[str, str]
    preset: str | None
    frame: Frame
    defaults: Defaults
    dry_run: bool


@dataclass(slots=True)
class Tally:
    """What became of the rows."""

    rows: int = 0
    withdrawals: int = 0
    grants: int = 0
    known: int = 0
    never_count: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    unused: tuple[str, ...] = ()

    def as_text(self) -> str:
        """For `read_tally`."""
        return json.dumps({spec.name: getattr(self, spec.name) for spec in fields(self)})


class Portion(NamedTuple):
    """Rows that were read: how many, what they say, and those that say nothing usable."""

    rows: int
    items: list[Item]
    refused: list[Refused]


class _Done(NamedTuple):
    """A batch that is committed."""

    sifted: Sifted
    tally: Tally  # with what came before
    place: int  # the size of the rejects file then
    rows: int
    seconds: float  # for which the store was held


def run(store: Store, plan: Plan) -> Tally:
    """Imports the file. Raises `Refusal`."""
    if str(plan.file) == "-":
        raise Refusal("an import is read several times: save it to a file first")
    with ExitStack() as stack:
        total, digest = _survey(plan)
        rejects = stack.enter_context(Rejects(plan.rejects, plan.file, plan.encoding))
        scratch = stack.enter_context(Scratch()) if plan.dry_run else None
        importing = _Import(store, plan, rejects, scratch, digest)
        importing.begin(total)
        advance = stack.enter_context(progress(f"importing {plan.file.name}", 2 * total))
        try:
            # Noted before it holds anybody, so that erasure reaches it.
            store.write_now(lambda tx: written.note_file(tx, plan.rejects))
            importing.work(advance)
            if not importing.tally.refused:
                store.write_now(lambda tx: written.forget_file(tx, plan.rejects))
        except KeyboardInterrupt:
            if not plan.dry_run:
                say("interrupted: what is said above stands; the same command goes on from there")
            raise
    return importing.tally


def _survey(plan: Plan) -> tuple[int, str]:
    """How many rows there are, and what tells this import from others."""
    known = hashlib.sha256(repr((plan.encoding, plan.renamed, plan.preset)).encode())
    known.update(repr((plan.defaults, plan.frame.streams, plan.frame.origins)).encode())
    known.update(repr((str(plan.rejects.absolute()), [*plan.frame.bases])).encode())
    with open_sheet(plan.file, plan.encoding) as sheet:
        _columns(sheet, plan)
        count = sum(1 for _ in sheet.records())
    if not count:
        raise Refusal(f"{plan.file}: there is nothing below the heading")
    with plan.file.open("rb") as file:
        while content := file.read(1 << 20):
            known.update(content)
    return count, known.hexdigest()


def _columns(sheet: Sheet, plan: Plan) -> Columns:
    try:
        return choose(sheet.heading, plan.renamed, plan.preset)
    except ColumnError as error:
        raise Refusal(f"{plan.file}: {error}") from error


class _Import:
    """One import under way."""

    def __init__(
        self, store: Store, plan: Plan, rejects: Rejects, scratch: Scratch | None, digest: str
    ) -> None:
        self._store, self._plan, self._digest = store, plan, digest
        self._rejects, self._scratch = rejects, scratch
        self._sieve = Sieve(plan.frame.bases, scratch)
        self._stage = self._rows = self._place = 0
        self._size = _FEWEST * 4
        self.tally = Tally()

    def begin(self, total: int) -> None:
        """Starts anew, or behind what an import that broke off has committed."""
        found = None
        if not self._plan.dry_run:
            found = self._store.read_now(lambda tx: imports.find(tx, self._digest))
        if found is not None and found.rejects_bytes <= self._rejects.found:
            self._stage, self._rows, self._place = found.stage, found.rows, found.rejects_bytes
            self.tally = _read_tally(found.tally)
            done = found.stage * total + found.rows
            say(f"this import was broken off: going on at {done} of {2 * total}")
        with open_sheet(self._plan.file, self._plan.encoding) as sheet:
            self._rejects.start(sheet.heading, self._place)
        self.tally.rows = total

    def work(self, advance: Callable[[int], None]) -> None:
        """Both stages, from where it stands."""
        advance(self._stage * self.tally.rows + self._rows)
        reads = (self._leaving, self._agreeing)
        sifts: tuple[Sift, Sift] = (self._sieve.withdrawals, self._sieve.grants)
        for stage in range(self._stage, len(_STAGES)):
            if stage > self._stage:
                self._stage, self._rows = stage, 0
            found = reads[stage]()
            while (portion := self._portion(found)).rows:
                self._note(self._commit(portion, sifts[stage]), advance)
        if not self._plan.dry_run:
            self._store.write_now(lambda tx: imports.end(tx, self._digest))

    def _portion(self, found: Iterator[Item | Refused | None]) -> Portion:
        portion = Portion(0, [], [])
        count = 0
        for one in islice(found, _PASSED):
            count += 1
            if isinstance(one, Item):
                portion.items.append(one)
                if len(portion.items) >= min(self._size, BATCH):
                    break
            elif one is not None:
                portion.refused.append(one)
        return portion._replace(rows=count)

    def _commit(self, portion: Portion, sift: Sift) -> _Done:
        """Sifts and records one portion, in one transaction."""

        def work(tx: Tx) -> _Done:
            begun = time.perf_counter()
            sifted = sift(tx, portion.items)
            refused = sorted([*portion.refused, *sifted.refused])
            lines = self._rejects.as_bytes(refused, self._place)
            self._rejects.put(lines, self._place)
            place = self._place + len(lines)
            after = self._counted(sifted, refused)
            if self._scratch is None:
                people.record_many(tx, sifted.new)
                rows_done = self._rows + portion.rows
                progress = imports.Progress(self._stage, rows_done, place, after.as_text())
                imports.keep(tx, self._digest, progress)
            return _Done(sifted, after, place, portion.rows, time.perf_counter() - begun)

        if self._scratch is None:
            return self._store.write_now(work)
        done = self._store.read_now(work)
        self._scratch.add((who.key, fact) for who, facts in done.sifted.new for fact in facts)
        return done

    def _note(self, done: _Done, advance: Callable[[int], None]) -> None:
        """Takes over what is committed, and chooses the size of the next portions by time."""
        self.tally = done.tally
        self._rows += done.rows
        self._place = done.place
        if done.seconds > _WAIT_SECONDS:
            self._size = max(_FEWEST, int(self._size * max(0.5, _WAIT_SECONDS / done.seconds)))
        elif done.seconds < _WAIT_SECONDS * 0.8:
            self._size = min(BATCH, self._size * 5 // 4)
        advance(done.rows)

    def _counted(self, sifted: Sifted, refused: list[Refused]) -> Tally:
        """The tally after one more portion."""
        tally = _read_tally(self.tally.as_text())
        tally.known += sifted.known
        tally.refused += len(refused)
        tally.reasons.update(_kind_of(one.reason) for one in refused)
        for _, facts in sifted.new:
            for fact in facts:
                if fact.kind is EventKind.WITHDRAWN:
                    tally.withdrawals += 1
                else:
                    tally.grants += 1
                    tally.never_count += self._sieve.never_counts(fact)
        return tally

    def _leaving(self) -> Iterator[Item | None]:
        """Who left; rows that say otherwise, or are wrong, are `None` here."""
        frame, defaults = self._plan.frame, self._plan.defaults
        for row, columns in self._read():
            item = None
            if (
                not row.problem
                and len(row.fields) == columns.width
                and columns.may_leave(row.fields)
            ):
                try:
                    left = columns.has_left(row.fields)
                    found = rows.withdrawal(columns.pick(row.fields), frame, defaults, left=left)
                    item = Item(row.line, row.fields, found) if found else None
                except RowError:
                    item = None  # said when grants are read
            yield item

    def _agreeing(self) -> Iterator[Item | Refused | None]:
        """What people agreed to; every row that is wrong is refused here."""
        frame, defaults = self._plan.frame, self._plan.defaults
        for row, columns in self._read():
            self.tally.unused = columns.unused
            try:
                values = _values(row, columns)
                left = columns.has_left(row.fields)
                rows.withdrawal(values, frame, defaults, left=left)
                found = rows.grant(values, frame, defaults, left=left)
            except RowError as error:
                yield Refused(row.line, str(error), row.fields)
                continue
            if found is None:
                yield None
                continue
            insists = values.get("explanation", "")
            yield Item(
                row.line, row.fields, found, insists or values.get("note", ""), bool(insists)
            )

    def _read(self) -> Iterator[tuple[Row, Columns]]:
        """The rows of the file that are not done yet."""
        with open_sheet(self._plan.file, self._plan.encoding) as sheet:
            columns = _columns(sheet, self._plan)
            for row in islice(sheet.records(), self._rows, None):
                yield row, columns


def _read_tally(text: str) -> Tally:
    values = json.loads(text)
    reasons, unused = Counter(values.pop("reasons")), tuple(values.pop("unused"))
    return Tally(**values, reasons=reasons, unused=unused)


def _kind_of(reason: str) -> str:
    """A reason without the value that it is about, so that alike ones are counted together."""
    return _VARYING.sub("...", reason).partition(": ")[0]


def _values(row: Row, columns: Columns) -> dict[str, str]:
    if row.problem:
        raise RowError(row.problem)
    if len(row.fields) != columns.width:
        raise RowError(f"the row has {len(row.fields)} fields, the heading {columns.width}")
    refusal = columns.refusal(row.fields)
    if refusal:
        raise RowError(f"the list itself does not mail this address: {refusal}")
    return columns.pick(row.fields)
