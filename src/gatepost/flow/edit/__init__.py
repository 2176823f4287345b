"""Editing: a verdict's copy, as edits of the original octets that can be undone.

`plan` looks at a message once and says how all its copies are made; `apply` makes one
recipient's copy, a join of octets; `undo` gives the original back. `Signer` signs copies
with DKIM. Nothing here re-serialises a message: every octet outside a plan's spans is the
one that the mailer sent (promise 4).
"""

from gatepost.flow.edit.dkim import DkimKey, Prepared, Signer, load_key
from gatepost.flow.edit.planning import plan
from gatepost.flow.edit.spans import Plan, Slot, Span, Window, apply, undo
from gatepost.flow.edit.treatment import (
    REMOVED_FIELDS,
    BulkTreatment,
    Footer,
    Treatment,
    TreatmentError,
)

__all__ = [
    "REMOVED_FIELDS",
    "BulkTreatment",
    "DkimKey",
    "Footer",
    "Plan",
    "Prepared",
    "Signer",
    "Slot",
    "Span",
    "Treatment",
    "TreatmentError",
    "Window",
    "apply",
    "load_key",
    "plan",
    "undo",
]
