"""Threads that start together, go on for as long as the others look, and end together.

    with Shift([send, send, leave]) as shift: ...

Each work is a thread's: it is done again and again until the block ends, with `over` to wait on
in place of sleep. What ends a thread before that is an error of the test, and raised at the end.
"""

import threading


class Shift:
    """For `with`; also the base of those who work and keep books, under `door`."""

    def __init__(self, works):
        self.door = threading.Lock()
        self.over = threading.Event()
        self._broken = []
        self._threads = [threading.Thread(target=self._repeat, args=(work,)) for work in works]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    @property
    def broken(self):
        """What ended a thread, so that nobody waits for work that is not done any more."""
        return self._broken[0] if self._broken else None

    def __exit__(self, _kind, error, _trace):
        self.over.set()
        for thread in self._threads:
            thread.join()
        if self.broken and error is None:
            raise self.broken
        if self.broken:
            error.add_note(f"a thread had ended before: {self.broken!r}")

    def _repeat(self, work):
        try:
            while not self.over.is_set():
                work()
        except Exception as error:
            self._broken.append(error)
