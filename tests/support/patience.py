"""How long a test waits for what another side does; it only ends what hangs.

Longer than any machine stands still that others use, too.
"""

PATIENCE_SECONDS = 300.0
