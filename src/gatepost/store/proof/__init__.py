"""Proof: whether the ledger still says what was recorded, part by part.

`chain` looks at blocks and events, `persons` at addresses, erasures and what is derived,
`documents` at sources and texts, `file` at the pages of an embedded database; `inspection`
has them all do their work, in slices that keep nobody waiting.
"""
