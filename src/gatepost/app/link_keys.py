"""The ring of link keys as the key file says at this moment.

In: the folder of the keys. Out: `LinkKeys`, which is called for the ring. The file is looked at
with each call (a call of the system, two microseconds): so a new key is known to every worker as
soon as it is there, and no link that one of them makes is foreign to another.

*Fails:* never while running: a file that has become unreadable leaves the ring as it was, and
the log says so once.
"""

from pathlib import Path

from gatepost import maillog
from gatepost.app.wiring import ring_of
from gatepost.consent.tokens import Ring
from gatepost.store import link_keys
from gatepost.store.keys import KeysError, StoreKeys


class LinkKeys:
    """The ring in force. Threads may share it."""

    def __init__(self, data_dir: Path, keys: StoreKeys) -> None:
        self._folder = data_dir / "keys"
        self._ring = ring_of(keys)
        self._seen = link_keys.version(self._folder)

    def __call__(self) -> Ring:
        """The ring, made anew if the file has changed."""
        version = link_keys.version(self._folder)
        if version != self._seen:
            self._seen = version
            try:
                read = link_keys.read(self._folder)
                self._ring = Ring(read.keys, read.current, read.compromised)
            except (KeysError, ValueError) as error:
                maillog.keys_unreadable(str(error))
            else:
                maillog.keys_changed(read.current)
        return self._ring
