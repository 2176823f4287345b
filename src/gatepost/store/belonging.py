"""Which store a gateway worked with last, so that it does not begin on another by mistake.

A wrong URL, a disk that is not mounted, half of a backup, the old store after a move: mail would
be decided without the ledger, and what is queued would lie elsewhere. So each store has an id, and
`keys/store.json` names the one that these keys belong to. It goes with the keys into backups and
to other gateways. Moving a store gives the new one an id of its own.

In: the folder of the keys, a transaction. Out: a `Mark`, or a refusal that names the cure.
*Fails:* `WrongStore`; `KeysError` where the mark cannot be read.
*Known limits:* keys that others provide, read-only, have no mark; commands do not ask, only
gateways and `doctor`; nor does a new data_dir know of one before it.
"""

import json
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import delete, insert, select

from gatepost.store.keys import KeysError, replace
from gatepost.store.remarks import note_first
from gatepost.store.tables.ledger import meta
from gatepost.store.transaction import Tx
from gatepost.store.trouble import StoreUnavailable

MARK = "store.json"
_NAME = "store.id"
_LOOK = (
    "look at [store] url and [server] data_dir, whether its disk is mounted, and whether a backup "
    "is to be put in place"
)


class WrongStore(StoreUnavailable):
    """The store is not the one that was worked with last; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A store: its id, and where it was, for whoever reads the file or a refusal."""

    id: str
    where: str


def read(folder: Path) -> Mark | None:
    """The mark beside the keys; `None` where there is none. Raises `KeysError`."""
    path = folder / MARK
    try:
        found = json.loads(path.read_text("utf-8"))
        return Mark(str(found["id"]), str(found["where"]))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeysError(f"{path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise KeysError(f"{path}: does not name a store; {_remove(path)}") from error


def remember(folder: Path, mark: Mark) -> None:
    """Has `mark` be the store that these keys belong to. Raises `OSError`."""
    replace(folder / MARK, json.dumps(asdict(mark), indent=2) + "\n")


def identify(tx: Tx, mark: Mark | None = None) -> str:
    """The store's id. One that has none yet, of an older program, is taken for that of `mark`."""
    note_first(tx, {_NAME: mark.id if mark else secrets.token_hex(8)})
    query = select(meta.c.value).where(meta.c.name == _NAME)
    return str(tx.connection.execute(query).scalar_one())


def begin_anew(tx: Tx) -> str:
    """Gives a copy of a store an id of its own."""
    tx.connection.execute(delete(meta).where(meta.c.name == _NAME))
    new = secrets.token_hex(8)
    tx.connection.execute(insert(meta), {"name": _NAME, "value": new})
    return new


class Expectation:
    """What a gateway that is about to open the store at `where` knows of it.

    With `known` false, as for commands, it expects nothing and remembers nothing.
    """

    def __init__(self, folder: Path, where: str, *, known: bool) -> None:
        self._path = folder / MARK
        self._where = where
        self._known = known
        self.mark = read(folder) if known else None
        self.is_begun = False

    def refuse_empty(self) -> None:
        """No empty store is begun where there was one. Raises `WrongStore`."""
        self.is_begun = True
        if self.mark is not None:
            raise WrongStore(
                f"there is no store yet at {self._where}, but these keys belong to one, which was "
                f"last at {self.mark.where}: {_LOOK}; for an empty store {_remove(self._path)}"
            )

    def settle(self, number: str) -> None:
        """Remembers the store that was found, or raises `WrongStore`."""
        self.check(number)
        found = Mark(number, self._where)
        if self._known and found != self.mark:
            with suppress(OSError):  # the keys are provided by others, who may know
                remember(self._path.parent, found)

    def check(self, number: str) -> None:
        """Raises `WrongStore` unless the store that was found may be the one."""
        if self.mark is not None and self.mark.id != number:
            raise WrongStore(
                f"the store at {self._where} is not the one that these keys belong to, which was "
                f"last at {self.mark.where}: {_LOOK}; to go on with this one {_remove(self._path)}"
            )


def _remove(path: Path) -> str:
    return f"remove {path}"
