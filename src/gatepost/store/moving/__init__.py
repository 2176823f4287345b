"""Moving a store to another database: everything, as it is, and proven to be the same.

`rows` walks and sums up tables, `target` is the half-made store, `move` is the way from one end
to the other.
"""

from gatepost.store.moving.move import Moved, MovedTable, Watch, move
from gatepost.store.moving.place import EMBEDDED, End
from gatepost.store.moving.target import TargetTaken

__all__ = ["EMBEDDED", "End", "Moved", "MovedTable", "TargetTaken", "Watch", "move"]
