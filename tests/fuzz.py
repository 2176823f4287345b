"""Fuzzing by invariant: the scanner and the editor never raise and never lose an octet.

    make fuzz BUDGET=600
    python tests/fuzz.py SECONDS

Rounds of Hypothesis, each with a seed of its own, until the time is over. What is found is made
as small as can be and kept in tests/mails/found/, where the tests read it from then on.

*Fails:* exit status 1 for the first find, after it was kept.
"""

import hashlib
import sys
import time
import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from support.invariants import check
from support.mime_trees import HOSTILE
from support.mutations import mutated

FOUND = Path(__file__).with_name("mails") / "found"
EXAMPLES_PER_ROUND = 500
STRATEGIES = (("mutated mails", mutated()), ("hostile octets", HOSTILE))


def main(seconds: float) -> int:
    """Fuzzes for `seconds`; 0 if nothing was found."""
    begun = time.monotonic()
    number = 0
    while time.monotonic() - begun < seconds:
        for name, strategy in STRATEGIES:
            number += 1
            if (smallest := fuzz(strategy, number)) is not None:
                print(f"{name}, seed {number}: kept as {keep(smallest, FOUND)}")
                return 1
    print(f"{number * EXAMPLES_PER_ROUND} examples in {seconds:.0f} s; nothing found")
    return 0


def fuzz(strategy, number: int) -> bytes | None:
    """One round; the smallest octets that break an invariant, `None` if none do."""
    last = b""

    @seed(number)
    @settings(
        max_examples=EXAMPLES_PER_ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.target, Phase.shrink),
    )
    @given(strategy)
    def one(octets):
        nonlocal last
        last = octets
        check(octets)

    try:
        one()
    except Exception:
        traceback.print_exc()
        return last
    return None


def keep(octets: bytes, folder: Path) -> Path:
    """Writes a find to a file named after its content."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{hashlib.sha256(octets).hexdigest()[:12]}.eml"
    path.write_bytes(octets)
    return path


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 300))
