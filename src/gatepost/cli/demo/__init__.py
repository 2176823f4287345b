"""`gatepost demo`: a tour of the whole product on loopback, checked at every step.

An inbox that plays the upstream server, the real `gatepost serve`, 1,000 sample people, two
mailings by the standard library, one unsubscribe by one click. Nothing leaves the machine, and
nothing of it is left afterwards. No configuration is read; one is written for the occasion.
"""

from typing import Annotated

import typer


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running at the end, until Ctrl-C.")
    ] = False,
) -> None:
    """Show the whole product at work: 1,000 people, two mailings, one unsubscribe.

    Everything happens on loopback ports of this machine, and nobody is mailed.
    Ends with 1 if anything is not as claimed.
    """
    from gatepost.cli.demo.running import run  # noqa: PLC0415  loads what only the tour needs

    raise typer.Exit(run(keep=keep))
