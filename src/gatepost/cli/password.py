"""`gatepost hash-password`: the hash of a password, for config.toml."""

import sys

import typer

from gatepost.cli.desk import Refusal
from gatepost.flow.accept.passwords import hash_password

_MAX_OCTETS = 1024


def hash_password_command() -> None:
    """Ask for a password twice, and print its hash for `password_hash` in config.toml.

    When stdin is no terminal, its first line is the password.
    """
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise Refusal("the password is empty")
    if len(password.encode()) > _MAX_OCTETS:
        raise Refusal(f"the password is longer than {_MAX_OCTETS} octets")
    typer.echo(hash_password(password))
