"""The history of the schema, for Alembic; run by `gatepost.store.schema`."""
