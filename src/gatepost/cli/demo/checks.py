"""What the tour claims, as questions with an answer: pure, so that each can be asked in vain.

In: what was expected and what was seen. Out: `Check`: the claim, whether it holds and, where
it does not, what was seen instead.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gatepost.cli.demo.letter import Letter, Reply
from gatepost.cli.demo.mailing import Receipt
from gatepost.consent.evidence import EventKind
from gatepost.mail.verdict import Reason
from gatepost.store.ledger import Finding
from gatepost.store.people import History

_SHOWN = 3  # examples, where many things are wrong


@dataclass(frozen=True, slots=True)
class Check:
    """One claim. `seen` is what speaks against it."""

    claim: str
    holds: bool
    seen: str = ""


def was_accepted(receipt: Receipt, count: int) -> Check:
    """The relay took the mailing, and says so once for all."""
    return Check(
        f"the relay took the mailing for {count:,} recipients",
        receipt.reply.startswith("250 ") and not receipt.refused,
        f"it answered {receipt.reply!r} and refused {receipt.refused} at once",
    )


def counts_agree(expected: Mapping[str, Reason], counted: Mapping[str, int]) -> Check:
    """The report counts for each reason what the samples were made for."""
    wanted = Counter(reason.value for reason in expected.values())
    wrong = [
        f"{reason}: {counted.get(reason, 0)} instead of {wanted[reason]}"
        for reason in sorted(wanted.keys() | counted.keys())
        if counted.get(reason, 0) != wanted[reason]
    ]
    return Check("every count is the one expected", not wrong, _some(wrong))


def reasons_agree(expected: Mapping[str, Reason], recorded: Mapping[str, str]) -> Check:
    """Each single address has the one reason that it was made for."""
    wrong = [
        f"{address}: {recorded.get(address, 'no verdict')} instead of {expected.get(address)}"
        for address in sorted(expected.keys() | recorded.keys())
        if recorded.get(address) != expected.get(address)
    ]
    return Check(
        f"each of the {len(expected):,} addresses has one verdict, for the right reason",
        not wrong,
        _some(wrong),
    )


def copies_agree(wanted: Collection[str], arrived: Sequence[str]) -> Check:
    """The inbox holds one copy for each of `wanted`, and none for anybody else."""
    counts = Counter(arrived)
    wrong = [f"nothing for {address}" for address in sorted(set(wanted) - counts.keys())]
    wrong += [f"a copy for {address}" for address in sorted(counts.keys() - set(wanted))]
    wrong += [f"{count} copies for {address}" for address, count in counts.items() if count > 1]
    return Check(
        f"the inbox got {len(wanted)} copies: one for each of these, none for anybody else",
        not wrong,
        _some(wrong),
    )


def links_are_personal(letters: Iterable[Letter]) -> Check:
    """Each copy has an unsubscribe link, and no two have the same."""
    links = Counter(letter.one_click_url for letter in letters)
    lacking = links.pop("", 0)
    shared = sum(count for count in links.values() if count > 1)
    return Check(
        "every copy has an unsubscribe link of its own",
        bool(links) and not lacking and not shared,
        f"{lacking} copies have none, {shared} share one",
    )


def has_list_fields(letter: Letter) -> Check:
    """The header fields by which mail clients offer a button (RFC 8058 §3.1, RFC 2919)."""
    post = letter.field("List-Unsubscribe-Post")
    lacking = [name for name in ("List-Unsubscribe", "List-Id") if not letter.field(name)]
    if post != "List-Unsubscribe=One-Click":
        lacking.append("List-Unsubscribe-Post")
    return Check(
        "the header lets a mail client show its unsubscribe button",
        not lacking and bool(letter.one_click_url),
        f"not as it should be: {', '.join(lacking) or 'the link'}",
    )


def has_footers(letter: Letter, name: str, address: str) -> Check:
    """Text and HTML name the sender, its postal address and the way out."""
    wrong = [
        f"{what} in the {kind} part"
        for kind, body in (("text", letter.text), ("HTML", letter.html))
        for what, words in (("name", name), ("address", address), ("link", letter.one_click_url))
        if not words or words not in body
    ]
    return Check(
        "text and HTML name the sender, its postal address and the way out",
        not wrong,
        f"missing: {_some(wrong)}",
    )


def is_untouched(letter: Letter, text: str) -> Check:
    """The mailer's own words come first, as they were."""
    return Check(
        "the mailer's own words are as they were",
        bool(text.strip()) and letter.text.startswith(text.rstrip()),
        f"the text begins with {letter.text[:60]!r}",
    )


def nothing_happened(reply: Reply, before: History | None, after: History | None) -> Check:
    """Opening the link showed a page with one button and left the ledger as it was."""
    unchanged = before is not None and after is not None and _said_of(before) == _said_of(after)
    buttons = reply.body.lower().count("<button")
    return Check(
        "opening the link shows a page with one button, and changes nothing",
        reply.status == 200 and buttons == 1 and unchanged,
        f"it answered {reply.status} with {buttons} buttons, and the ledger "
        + ("is as before" if unchanged else "says something else than before"),
    )


def has_let_go(reply: Reply) -> Check:
    """One click was enough: no cookie, login, redirect or question."""
    asked = [
        name for name in ("set-cookie", "location", "www-authenticate") if name in reply.headers
    ]
    return Check(
        "one POST was enough: no cookie, no login, no redirect, no question",
        reply.status == 200 and not asked and "<form" not in reply.body.lower(),
        f"it answered {reply.status} {reply.reason}" + (f" with {', '.join(asked)}" * bool(asked)),
    )


def has_left_once(reply: Reply, history: History | None) -> Check:
    """Clicking again is the same as once: 200, and still one withdrawal on record."""
    kinds = [event.kind for event in history.events] if history else []
    count = kinds.count(EventKind.WITHDRAWN)
    return Check(
        "clicking again is the same as once",
        reply.status == 200 and count == 1,
        f"it answered {reply.status}, and the ledger has {count} withdrawals",
    )


def remembers_all(history: History | None, kinds: Sequence[EventKind]) -> Check:
    """The ledger has exactly these events of the person, readable and sealed."""
    events = history.events if history else ()
    found = [event.kind for event in events]
    good = all(event.block is not None and event.fact is not None for event in events)
    return Check(
        "both acts are on record, sealed into the chain",
        found == list(kinds) and good,
        f"on record: {', '.join(found) or 'nothing'}" + ("" if good else ", not all of it sealed"),
    )


def is_whole(findings: Sequence[Finding]) -> Check:
    """Verifying the ledger finds nothing."""
    return Check(
        "the ledger's chain was computed anew: nothing is missing or changed",
        not findings,
        _some([f"block {one.block}, event {one.event}: {one.what}" for one in findings]),
    )


def _said_of(history: History) -> object:
    """What the ledger says of a person; that an event was sealed meanwhile is no change."""
    return [event.id for event in history.events], history.standings, history.suppressions


def _some(wrong: Sequence[str]) -> str:
    more = len(wrong) - _SHOWN
    return "; ".join(wrong[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
