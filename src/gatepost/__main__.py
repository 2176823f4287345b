"""`gatepost`, and `python -m gatepost`."""

from gatepost.cli import app


def main() -> None:
    """The command."""
    app()


if __name__ == "__main__":
    main()
