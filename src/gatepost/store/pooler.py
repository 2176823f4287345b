"""Whether a pooler gives each transaction another connection, which is not for us.

A session is more than its transactions: statements are prepared in it, settings are its own, and
LISTEN is. In the "session" mode of a pooler (PgBouncer's `pool_mode`) all of this holds; in its
"transaction" mode our second connection meets the statements of the first.

In: an engine, and a connection of it that is in the middle of a transaction. Out: nothing.
*Fails:* `StoreUnavailable`, with the cure.
*Known limits:* a direct connection is known by its number, and costs nothing; one through a
pooler is tried with two more. A pooler that changes its mode later is not noticed.
"""

from contextlib import closing
from typing import Any

from sqlalchemy import Connection, Engine, text

from gatepost.store.trouble import StoreUnavailable

_MARK = "SELECT pg_backend_pid(), set_config('gatepost.session', 'ours', false)"
_LOOK = "SELECT pg_backend_pid(), current_setting('gatepost.session', true)"


def refuse_by_transaction(engine: Engine, connection: Connection) -> None:
    """Raises `StoreUnavailable` where sessions are not kept together."""
    driver: Any = connection.connection.driver_connection
    (backend,) = connection.execute(text("SELECT pg_backend_pid()")).one()
    if backend == driver.info.backend_pid:
        return
    if not _keeps_sessions(engine):
        raise StoreUnavailable(
            "a pooler gives each transaction another connection to PostgreSQL, and Gatepost needs "
            "one as long as it lasts: set pool_mode = session for this database (PgBouncer), or "
            "name the server itself in [store] url"
        )


def _keeps_sessions(engine: Engine) -> bool:
    """Whether one session still is where it was after another has begun a transaction."""
    with closing(engine.raw_connection()) as first, closing(engine.raw_connection()) as second:
        ours, other = first.cursor(), second.cursor()
        before = ours.execute(_MARK).fetchone()
        first.commit()
        (taken, _) = other.execute(_LOOK).fetchone()
        after = ours.execute(_LOOK).fetchone()
        return bool(before == after and taken != before[0])
