"""The ring of link keys as the key file says at this moment.

In: the folder of the keys. Out: `LinkKeys`, which is called for the ring. The file is looked at
with each call: so a new key is known to every worker as soon as it is there, and no link that one
of them makes is foreign to another. Who only makes links takes `recent`, because each look lets
another thread have the interpreter, and mail makes them by the hundred in a second.

*Fails:* never while running: a file that has become unreadable leaves the ring as it was, and
the log says so once.
"""

import time
from pathlib import Path

from gatepost import houselog
from gatepost.app.wiring import ring_of
from gatepost.consent.tokens import Ring
from gatepost.store import link_keys
from gatepost.store.keys import KeysError, StoreKeys

RECENT_SECONDS = 0.05


class LinkKeys:
    """The ring in force. Threads may share it."""

    def __init__(self, data_dir: Path, keys: StoreKeys) -> None:
        self._folder = data_dir / "keys"
        self._ring = ring_of(keys)
        self._seen = link_keys.version(self._folder)
        self._look_at = 0.0

    def recent(self) -> Ring:
        """The ring as it was a moment ago: its links are good, and will be."""
        now = time.monotonic()
        if now < self._look_at:
            return self._ring
        self._look_at = now + RECENT_SECONDS
        return self()

    def __call__(self) -> Ring:
        """The ring, made anew if the file has changed."""
        version = link_keys.version(self._folder)
        if version != self._seen:
            self._seen = version
            try:
                read = link_keys.read(self._folder)
                self._ring = Ring(read.keys, read.current, read.compromised)
            except (KeysError, ValueError) as error:
                houselog.keys_unreadable(str(error))
            else:
                houselog.keys_changed(read.current)
        return self._ring
