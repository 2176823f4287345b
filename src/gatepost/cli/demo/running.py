"""Sets up the parts of the tour, takes it, and clears everything away, however it ends.

In: whether to go on running at the end. Out: an exit status: 0 if every claim held, 1 if one
did not, if the tour could not go on, or if it was interrupted before its end.

*Known limits:* a tour that is killed outright (SIGKILL) leaves its folder and its relay behind.
"""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from gatepost import __version__
from gatepost.cli.demo.inbox import Inbox
from gatepost.cli.demo.keeping import keep_running
from gatepost.cli.demo.mailing import MailingError
from gatepost.cli.demo.relay import Relay, RelayError
from gatepost.cli.demo.stage import Stage
from gatepost.cli.demo.tour import Tour, TourEnded
from gatepost.cli.desk import Status
from gatepost.store.engine import Store

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NEXT_STEPS = (
    ("gatepost demo --keep", "the same, and leave it running to play with"),
    ("gatepost init", "write a configuration of your own"),
    ("README.md", "how to point your mailer at it"),
)


def run(*, keep: bool) -> Status:
    """The whole tour; how it ends."""
    stage = Stage()
    stage.open(
        f"Gatepost {__version__}: a tour in eight steps",
        "It all happens on this machine, and nobody is mailed.",
    )
    try:
        with _orderly_endings(), TemporaryDirectory(prefix="gatepost-demo-") as folder:
            good = _perform(stage, Path(folder), keep=keep)
    except KeyboardInterrupt:
        stage.complain("stopped before the end")
        good = False
    except RelayError as error:
        stage.complain(str(error))
        good = False
    return Status.DONE if good else Status.NO


def _perform(stage: Stage, folder: Path, *, keep: bool) -> bool:
    """Takes the tour in `folder`; whether every claim held."""
    with Inbox(folder / "inbox") as inbox, ExitStack() as running:
        relay = Relay(folder, inbox.port)
        try:
            with Store.open("", relay.data_dir) as store:
                tour = Tour(stage, inbox, relay, store)
                # Before the relay runs: to it, withdrawals of the last few seconds are news,
                # and it would think twice about those who came back since.
                tour.make_people()
                running.enter_context(relay)
                tour.take()
        except (TourEnded, MailingError) as error:
            stage.complain(f"{error}\nThe relay's log ends with:\n{relay.log_tail()}")
            return False
        good = stage.close(_NEXT_STEPS)
        if keep:
            with suppress(KeyboardInterrupt):
                keep_running(stage, inbox, relay)
            stage.gap()
            stage.say("Stopping, and clearing away.", "dim")
        return good


@contextmanager
def _orderly_endings() -> Iterator[None]:
    """Every signal that ends a program interrupts the tour, and none the clearing away."""

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in _ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
