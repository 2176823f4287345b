"""Moving a store to another database: everything, as it is, and proven to be the same.

`rows` walks and sums up tables, `target` is the half-made store, `way` goes from one end
to the other.
"""

from gatepost.store.moving.place import EMBEDDED, End
from gatepost.store.moving.target import TargetTaken
from gatepost.store.moving.way import Moved, MovedTable, Watch, move

__all__ = ["EMBEDDED", "End", "Moved", "MovedTable", "TargetTaken", "Watch", "move"]
