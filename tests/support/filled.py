"""A store with rows in every table: a ledger, mail in every state, and what else there is.

fill(store)                     # what really happens, and invented rows where nothing did
snapshot(store)                 # every table's rows
"""

from itertools import count

from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, SmallInteger, insert, select

from gatepost.mail.recipient_state import State
from gatepost.store import uses
from gatepost.store.moving.rows import all_tables
from support import ledgers
from support.submissions import DROP, HOLD, accept, claim, mark, outcome, submission

LARGE = bytes(range(256)) * 2500 + b"\xc3\xa5\r\n"  # three pieces


def fill(store, people=4):
    """People, mail and one row at least in each other table."""
    ledgers.build(store)
    readers = [f"reader{number}@kund.example" for number in range(people)]
    verdicts = {readers[0]: HOLD, readers[1]: DROP}
    accept(store, submission(*readers, verdicts=verdicts, content=LARGE))
    sent = claim(store, limit=2)
    mark(store, outcome(sent[0], State.DELIVERED))
    accept(store, submission("one@kund.example"))
    (last,) = claim(store, holder="gateway-2", limit=1)
    mark(store, outcome(last, State.DELIVERED), holder="gateway-2")
    store.write_now(uses.gather)
    ledgers.seal(store)
    store.write_now(_invent)


def snapshot(store):
    """The rows of every table, by its name, in no order."""

    def look(tx):
        return {
            table.name: {tuple(row) for row in tx.connection.execute(select(table))}
            for table in all_tables()
        }

    return store.read_now(look)


def _invent(tx):
    """Rows for tables that nothing above touches, with values at the edge of their types."""
    numbers = count(1)
    for table in all_tables():
        if tx.connection.execute(select(table).limit(1)).first() is None:
            for _ in range(3):
                row = {column.name: _value(column, next(numbers)) for column in table.columns}
                tx.connection.execute(insert(table).values(row))


def _value(column, number):
    if column.foreign_keys:
        (reference,) = column.foreign_keys
        return select(reference.column).limit(1).scalar_subquery()
    if column.nullable and number % 2:
        return None
    kind = column.type
    if isinstance(kind, Boolean):
        return bool(number % 2)
    if isinstance(kind, LargeBinary):
        return bytes([0, 255, number % 256])
    if isinstance(kind, BigInteger) and not column.primary_key:
        return 2**62 + number
    if isinstance(kind, Integer | SmallInteger | BigInteger):
        return number
    return f"på {number}: \u2028 \N{PARTY POPPER} '\\x00' NULL"
