"""What an older program left without proof, taken over once, when the schema is upgraded.

Events that are sealed need no proof: their block vouches for them. Those still waiting for the
sealer get theirs now, and sources and texts are put on record as they stand: of both nobody
can say any more whether somebody changed them by hand before the upgrade.

In: the connection of the upgrade, the keys, and the revision the store had.

*Fails:* whatever the database raises.
*Known limits:* a gateway of the older version that goes on running beside this one records
events without proof, which are never sealed: stop them all before the first one is upgraded.
"""

from sqlalchemy import Connection, bindparam, select, update

from gatepost.consent.chain import event_digest, event_proof
from gatepost.store import kept
from gatepost.store.clock import Clock
from gatepost.store.keys import StoreKeys
from gatepost.store.tables.ledger import event
from gatepost.store.times import to_ms
from gatepost.store.transaction import Tx
from gatepost.store.wire import cursor_of

WITHOUT_PROOF = "0005"  # the last revision whose events had none


def adopt(connection: Connection, revision: str, *, keys: StoreKeys) -> None:
    """Gives proofs to what a store of `revision` lacks them for."""
    if revision > WITHOUT_PROOF:
        return
    dialect = connection.dialect.name
    now = Clock().now()
    tx = Tx(connection, cursor_of(connection), now, to_ms(now), keys, dialect)
    _prove_waiting(tx)
    kept.record_all(tx)


def _prove_waiting(tx: Tx) -> None:
    waiting = tx.connection.execute(select(event).where(event.c.block.is_(None))).all()
    proofs = [
        {
            "number": row.id,
            "shown": event_proof(
                tx.keys.ledger,
                event_digest(
                    number=row.id,
                    subject=row.subject,
                    kind=row.kind,
                    recorded_ms=row.recorded_ms,
                    commitment=row.commitment,
                ),
            ),
        }
        for row in waiting
    ]
    if proofs:
        prove = update(event).where(event.c.id == bindparam("number"))
        tx.connection.execute(prove.values(proof=bindparam("shown")), proofs)
