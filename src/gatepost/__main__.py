"""`gatepost`, and `python -m gatepost`."""

import os

from gatepost.cli import app


def main() -> None:
    """The command."""
    os.umask(0o077)  # whatever a command writes is about people, or secret
    app()


if __name__ == "__main__":
    main()
