"""A session on a cable: segments go in exactly as they are cut, replies come out in a list."""

import asyncio
from itertools import pairwise


class Cable(asyncio.Transport):
    """A transport that ends in a list."""

    def __init__(self):
        super().__init__({"peername": ("127.0.0.1", 4711)})
        self.written = []
        self.paused = self.closed = False

    def write(self, data):
        self.written.append(bytes(data))

    def close(self):
        self.closed = True

    def can_write_eof(self):
        return False

    def is_closing(self):
        return self.closed

    abort = close

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False


def cut(octets, places):
    """The octets in pieces, cut at these places."""
    edges = [0, *sorted({place % len(octets) for place in places} - {0}), len(octets)]
    return [octets[a:b] for a, b in pairwise(edges)]


def codes(written):
    """The codes of all replies in what was written."""
    return [line[:3].decode() for line in written.splitlines() if line[3:4] != b"-"]
