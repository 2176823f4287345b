"""`gatepost`, and `python -m gatepost`."""

import os
import signal
import sys

if "serve" in sys.argv:  # a reload asked for while everything is loaded would be the end
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})

from gatepost.cli import app


def main() -> None:
    """The command."""
    os.umask(0o077)  # whatever a command writes is about people, or secret
    app()


if __name__ == "__main__":
    main()
