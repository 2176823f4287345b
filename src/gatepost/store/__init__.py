"""The store: ledger, spool and sources, durable, embedded or in PostgreSQL.

`engine.Store` opens it; every other module here holds functions that take a `Tx`, an open
transaction, and are run by `Store.write`, `Store.batch` or `Store.read`.
"""
