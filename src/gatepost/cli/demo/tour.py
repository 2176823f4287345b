"""The tour itself, read from top to bottom: eight steps, each with claims that are checked.

In: a stage, an inbox, a relay and its store. Out: what was shown. `make_people` comes first,
then the relay is started, then `take` does the rest.

*Fails:* `TourEnded` where a step has nothing to go on with; `MailingError`, `StoreUnavailable`.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from rich.markup import escape
from rich.text import Text

from gatepost.cli.demo import checks, samples
from gatepost.cli.demo.inbox import Inbox
from gatepost.cli.demo.letter import Letter, Reply, look_at, one_click
from gatepost.cli.demo.mailing import compose, send
from gatepost.cli.demo.relay import HOST, LEGAL_NAME, POSTAL_ADDRESS, Relay
from gatepost.cli.demo.stage import Stage
from gatepost.consent.evidence import EventKind
from gatepost.mail.address import parse
from gatepost.mail.verdict import Disposition, Reason
from gatepost.store import campaign_report, ledger, people, sources
from gatepost.store.campaign_report import CampaignRow
from gatepost.store.engine import Store
from gatepost.store.people import History, Recorded

_MAILING_SECONDS = 60.0
_SEALING_SECONDS = 10.0
_GLANCE_SECONDS = 0.05
_PAGE = 2000
_SHOWN_FIELDS = (
    "From", "To", "Subject", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post",
)  # fmt: skip
_STORIES = 3  # groups that a row of the table names
_DELIVER = Text(Disposition.DELIVER, style="green")
_DROP = Text(Disposition.DROP, style="yellow")


class TourEnded(Exception):  # noqa: N818  an ending, not a mistake
    """The tour cannot go on; the message says why."""


class Tour:
    """The eight steps."""

    def __init__(self, stage: Stage, inbox: Inbox, relay: Relay, store: Store) -> None:
        self._stage = stage
        self._inbox = inbox
        self._relay = relay
        self._store = store
        self._expected = samples.expected()
        self._seen = 0  # mails of the inbox that belong to earlier mailings
        self.leaver = next(samples.GROUPS[0].addresses())

    def make_people(self) -> None:
        """1: the ledger gets 1,000 people with a past."""
        self._stage.step(f"A ledger of {len(self._expected):,} people, each with a past")
        events = self._store.write_now(samples.record)
        texts = self._store.read_now(sources.list_sources)
        good, bad = _by_delivery()
        for words, groups in (("may be mailed", good), ("may not", bad)):
            self._stage.say(f"{sum(group.count for group in groups)} {words}:", "bold")
            self._stage.numbers((group.count, group.name) for group in groups)
        self._stage.say(
            f"{events:,} events are on record, collected at {len(texts)} sources.", style="dim"
        )

    def take(self) -> None:
        """All that needs the relay running. Raises `TourEnded`, `MailingError`, `RelayError`."""
        self.show_parts()
        self.mail_everybody()
        letter = self.show_copy()
        self.unsubscribe(letter)
        self.mail_again()
        self.show_record()

    def show_parts(self) -> None:
        """2: what runs where."""
        self._stage.step("The parts, on free ports of this machine")
        self._stage.pairs([
            ("the relay", f"{HOST}:{self._relay.smtp_port}", "gatepost serve, for your mailer"),
            ("the pages", self._relay.pages, "the links in the copies lead here"),
            ("an inbox", f"{HOST}:{self._inbox.port}", "plays the upstream server, mails nobody"),
        ])  # fmt: skip

    def mail_everybody(self) -> None:
        """3 and 4: one mailing to all of them, and what became of each."""
        self._stage.step("One mailing to all of them, from an ordinary mailer")
        row, letters = self._mail("Acme news: rainy days")
        self._stage.check(checks.links_are_personal(letters.values()))
        self._stage.step("What the report says")
        self._show_report(row)

    def show_copy(self) -> Letter:
        """5: one copy, as it was delivered. Raises `TourEnded`."""
        self._stage.step("One delivered copy; what the relay added is marked with +")
        letter = self._letters(0).get(self.leaver.key)
        if letter is None:
            raise TourEnded(f"there is no copy for {self.leaver}: nothing can be shown")
        sent = compose("")
        body = sent.get_body(("plain",))
        text = str(body.get_content()) if body else ""
        self._stage.mail(_marked_lines(letter, [name for name, _ in sent.items()], text))
        self._stage.check(checks.has_list_fields(letter))
        self._stage.check(checks.has_footers(letter, LEGAL_NAME, POSTAL_ADDRESS))
        self._stage.check(checks.is_untouched(letter, text))
        return letter

    def unsubscribe(self, letter: Letter) -> None:
        """6: a scanner looks at the link, then the recipient's mail client uses it."""
        self._stage.step(f"{self.leaver} clicks Unsubscribe")
        url = letter.one_click_url
        before = self._history()
        page = _ask(look_at, url)
        self._show_request("GET", url, f"{page.status} {page.reason}")
        self._stage.check(checks.nothing_happened(page, before, self._history()))
        reply = _ask(one_click, url)
        self._show_request("POST", url, f"{reply.status} {reply.reason}: {_first_line(reply.body)}")
        self._stage.check(checks.has_let_go(reply))
        self._stage.check(checks.has_left_once(_ask(one_click, url), self._history()))
        self._expected[self.leaver.key] = Reason.WITHDRAWN

    def mail_again(self) -> None:
        """7: the next mailing, without the one who left."""
        self._stage.step("The next mailing to the same 1,000")
        row, letters = self._mail("Acme news: dry days")
        self._stage.say(
            f"[cyan]{self.leaver}[/] got no copy: [yellow]{Reason.WITHDRAWN}[/]. "
            f"{len(letters)} others got theirs, as before."
        )
        self._check_report(row)

    def show_record(self) -> None:
        """8: what can be proved afterwards."""
        self._stage.step("What is on record, and whether it can be trusted")
        history = self._sealed_history()
        events = history.events if history else ()
        self._stage.say(f"All that the ledger knows about [cyan]{self.leaver}[/]:")
        self._stage.table(
            [("when", "left"), ("what", "left"), ("how", "left")],
            [_event_row(one) for one in events],
        )
        self._stage.check(checks.remembers_all(history, [EventKind.GRANTED, EventKind.WITHDRAWN]))
        height, digest = self._store.read_now(ledger.head)
        self._stage.check(checks.is_whole(self._store.read_now(ledger.verify)))
        self._stage.say(f"head of the chain: block {height}, {digest[:16]}…", style="dim")

    def _mail(self, subject: str) -> tuple[CampaignRow, dict[str, Letter]]:
        """Sends a mailing to everybody and waits for its end; its report, and the copies."""
        self._seen = len(self._inbox.received)
        wanted = [key for key, reason in self._expected.items() if reason.is_positive]
        addresses = [str(one) for group in samples.GROUPS for one in group.addresses()]
        message = compose(subject)
        receipt = send(HOST, self._relay.smtp_port, message, addresses)
        self._stage.say(f'"{subject}", text and HTML, {len(addresses):,} recipients in one message')
        self._stage.say(f"the relay answers: [cyan]{escape(receipt.reply)}[/]")
        self._stage.check(checks.was_accepted(receipt, len(addresses)))
        row = self._wait_for_end(subject, len(wanted))
        arrived = [
            parse(address).key
            for received in self._inbox.received[self._seen :]
            for address in received.recipients
        ]
        self._stage.check(checks.copies_agree(wanted, arrived))
        return row, self._letters(self._seen)

    def _wait_for_end(self, subject: str, total: int) -> CampaignRow:
        """Waits until nothing of the mailing is queued. Raises `TourEnded`."""
        deadline = time.monotonic() + _MAILING_SECONDS
        row: CampaignRow | None = None
        with self._stage.progress("copies in the inbox", total) as counting:
            while time.monotonic() < deadline:
                counting.reach(len(self._inbox.received) - self._seen)
                row = self._campaign(subject)
                if row is not None and not row.outcomes["queued"]:
                    return row
                self._relay.check_alive()
                time.sleep(_GLANCE_SECONDS)
        if row is None:
            raise TourEnded("the mailing is not in the report")
        queued = row.outcomes["queued"]
        raise TourEnded(f"{queued} copies are still queued after {_MAILING_SECONDS:.0f} seconds")

    def _campaign(self, name: str) -> CampaignRow | None:
        rows = self._store.read_now(campaign_report.list_all)
        return next((row for row in rows if row.name == name), None)

    def _letters(self, start: int) -> dict[str, Letter]:
        """The copies since `start` by the key of their recipient."""
        return {
            parse(received.recipients[0]).key: Letter(received.content)
            for received in self._inbox.received[start:]
        }

    def _show_report(self, row: CampaignRow) -> None:
        wanted = Counter(self._expected.values())
        lines: list[Sequence[str | Text]] = []
        for reason, groups in samples.stories().items():
            counted = row.reasons.get(reason, 0)
            verdict = _DELIVER if reason.is_positive else _DROP
            sign = self._stage.sign(counted == wanted[reason])
            numbers = str(wanted[reason]), str(counted)
            lines.append((verdict, reason, _story(groups), *numbers, sign))
        verdicts = ", ".join(f"{name} {count}" for name, count in sorted(row.verdicts.items()))
        self._stage.table(
            [("verdict", "left"), ("reason", "left"), ("their past", "left"),
             ("expected", "right"), ("counted", "right"), ("", "left")],
            lines,
        )  # fmt: skip
        self._stage.say(f"altogether: {verdicts}", style="bold")
        self._check_report(row)

    def _check_report(self, row: CampaignRow) -> None:
        self._stage.check(checks.counts_agree(self._expected, row.reasons))
        self._stage.check(checks.reasons_agree(self._expected, self._reasons(row)))

    def _reasons(self, row: CampaignRow) -> dict[str, str]:
        """The reason of every recipient of a campaign, by key."""
        found: dict[str, str] = {}
        after = 0
        while page := self._store.read_now(
            partial(campaign_report.recipients, campaign=row.id, after=after, limit=_PAGE)
        ):
            found |= {parse(one.recipient).key: one.reason for _, one in page}
            after = page[-1][0]
        return found

    def _history(self) -> History | None:
        return self._store.read_now(lambda tx: people.history(tx, self.leaver))

    def _sealed_history(self) -> History | None:
        """The history, once the sealer has come by, which it does every half second."""
        deadline = time.monotonic() + _SEALING_SECONDS
        while True:
            history = self._history()
            sealed = history and all(event.block is not None for event in history.events)
            if sealed or time.monotonic() >= deadline:
                return history
            time.sleep(0.1)

    def _show_request(self, method: str, url: str, answer: str) -> None:
        path = url.removeprefix(self._relay.pages)
        self._stage.say(f"[bold]{method}[/] {path}")
        self._stage.say(escape(answer), "cyan", deeper=2)


def _ask(act: Callable[[str], Reply], url: str) -> Reply:
    """What `act` brings. Raises `TourEnded` where nobody answers."""
    try:
        return act(url)
    except OSError as error:
        raise TourEnded(f"{url} does not answer: {error}") from error


def _by_delivery() -> tuple[list[samples.Group], list[samples.Group]]:
    good = [group for group in samples.GROUPS if group.reason.is_positive]
    return good, [group for group in samples.GROUPS if not group.reason.is_positive]


def _story(groups: Sequence[samples.Group]) -> str:
    if len(groups) > _STORIES:
        return f"consent, given in {len(groups)} ways"
    return "; ".join(group.story for group in groups)


def _marked_lines(letter: Letter, own: Sequence[str], text: str) -> Iterator[tuple[bool, str]]:
    """The lines of a copy worth showing, and whether the relay added them."""
    for name in _SHOWN_FIELDS:
        yield name not in own, f"{name}: {letter.field(name)}"
    yield False, ""
    given = text.rstrip().split("\n")
    for number, line in enumerate(letter.text.rstrip().split("\n")):
        yield number >= len(given), line


def _event_row(recorded: Recorded) -> tuple[str, str, str]:
    fact = recorded.fact
    if fact is None:
        return f"{recorded.recorded_at:%Y-%m-%d %H:%M}", recorded.kind, "erased"
    how = [fact.basis, f"source {fact.source}, text {fact.text_version}" * bool(fact.source)]
    how += [fact.method * (not fact.basis), f"from {fact.ip}" * bool(fact.ip)]
    return f"{fact.at:%Y-%m-%d %H:%M}", recorded.kind, ", ".join(filter(None, how))


def _first_line(body: str) -> str:
    return next((line.strip() for line in body.splitlines() if line.strip()), "")
