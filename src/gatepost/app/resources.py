"""What the process asks of the system it runs on: open files, and memory given back.

Each connection is an open file, and the usual soft limit of 1,024 is less than
`[limits] connections`. And glibc moves the size from which memory comes in pieces of its own
up to 32 MB as it goes; large messages would then lie in heaps that never shrink again.

*Known limits:* with another C library memory is what that makes of it.
"""

import ctypes
import resource
from contextlib import suppress

MOST_FILES = 65_536
OWN_PIECE = 1024 * 1024  # octets, from which memory goes back to the system when it is free
_M_MMAP_THRESHOLD = -3


def prepare() -> None:
    """Sets the limits of this process, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, OWN_PIECE)
