"""docs/states.md, drawn from the tables of states and moves, so that it cannot be wrong.

In: `states.STATES`, `states.MOVES` and `states.VERDICTS`. Out: Markdown with a diagram and
three tables.

*Fails:* never.
"""

from gatepost.flow.spool.states import MOVES, STATES, VERDICTS
from gatepost.mail.recipient_state import State

_HEAD = """\
# The states of a recipient

This page is written from the tables in `src/gatepost/flow/spool/states.py`, and a test keeps it
in step with them (`make docs` writes it anew).

Each recipient of an accepted submission is one row of the spool. Every move below is one
transaction, so that after a crash a row is in exactly one of these states. `gatepost queue list`
shows the rows that are `ready`, `sending`, `deferred` or `held`, `gatepost quarantine list` those
that are `quarantined`, and `gatepost campaign show` all of a campaign.
"""


def states_page() -> str:
    """The text of docs/states.md."""
    return "\n".join([_HEAD, *_diagram(), "", *_states(), "", *_moves(), "", *_verdicts(), ""])


def _diagram() -> list[str]:
    """A mermaid state diagram; the causes are in the table below it, to keep it quiet."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR"]
    lines += [f"    [*] --> {State.RECEIVED}"]
    lines += [f"    {move.origin} --> {move.target}" for move in MOVES]
    lines += [f"    {row.state} --> [*]" for row in STATES if row.state.is_final]
    return [*lines, "```"]


def _states() -> list[str]:
    lines = ["## What each means", "", "| state | meaning | after a crash | final |"]
    lines += ["| --- | --- | --- | --- |"]
    for row in STATES:
        final = "yes" if row.state.is_final else ""
        lines.append(f"| `{row.state}` | {row.meaning} | {row.after_a_crash} | {final} |")
    return lines


def _moves() -> list[str]:
    lines = ["## What leads from one to the other", "", "| from | to | cause |"]
    lines += ["| --- | --- | --- |"]
    lines += [f"| `{move.origin}` | `{move.target}` | {move.cause} |" for move in MOVES]
    return lines


def _verdicts() -> list[str]:
    lines = ["## Where a verdict leads", "", "| verdict | on acceptance | at a later claim |"]
    lines += ["| --- | --- | --- |"]
    lines += [f"| `{row.disposition}` | `{row.accepted}` | `{row.claimed}` |" for row in VERDICTS]
    text = "With the reason `campaign-stopped`, `drop` leads to `stopped` in both columns."
    return [*lines, "", text]
