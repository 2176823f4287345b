"""Whether an embedded database is still the file that was opened.

A file that is deleted or replaced under an open connection goes on taking transactions, and
nobody ever sees them again: what was acknowledged would be lost. So after each COMMIT, before
anybody is answered, the names must still lead to the same files. And before anything is opened
anew: SQLite would make an empty database of that name.

In: the path of the database. Out: nothing, or `StoreDamaged`.
*Known limits:* what is overwritten in place, or deleted after the answer, is not noticed here.
"""

from pathlib import Path

from gatepost.store.trouble import StoreDamaged

_Identity = tuple[int, int]


class Identity:
    """The database and its log, as they were when they were opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._file = _identity(path)
        self._log_file: _Identity | None = None

    def forget_log(self) -> None:
        """The connection is another: the last one to be closed takes the log with it."""
        self._log_file = None

    def note_log(self) -> None:
        """Remembers the log, once the connection has opened it."""
        if self._log_file is None:
            self._log_file = _identity(self._log)

    def check(self) -> None:
        """Raises `StoreDamaged` if a name leads elsewhere by now."""
        self.check_file()
        _check(self._log, self._log_file)

    def check_file(self) -> None:
        """The same of the database alone; from any thread."""
        _check(self._path, self._file)


def _check(path: Path, known: _Identity | None) -> None:
    if _identity(path) != known:
        raise StoreDamaged(
            f"{path} was deleted or replaced while Gatepost has it open: nothing is taken "
            "any more; stop Gatepost, put the files of a backup in place, start it again"
        )


def _identity(path: Path) -> _Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
