"""How much a test does: little in `make test`, all of it in `make soak`."""

import os

SOAK = "GATEPOST_SOAK"


def scale(short, full):
    """`full` where the environment asks for the long versions, else `short`."""
    return full if os.environ.get(SOAK) else short
