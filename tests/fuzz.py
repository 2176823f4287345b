"""Fuzzing by invariant: whatever comes to a door, it never raises, hangs, grows or changes its mind.

    make fuzz BUDGET=600
    python tests/fuzz.py SECONDS

Mail for scanner and editor, SMTP sessions, with a balancer before them or none, HTTP requests,
config.toml, lists and CSV, tokens, and mail that comes back (`support.rubbish`, `.rubbish_wire`,
`.rubbish_proxied`) share the time. Rounds of Hypothesis, each with a seed of its own, until it is
over. What is found is made as small as can be and kept in tests/mails/found/ or tests/found/,
where the tests read it from then on.

*Fails:* exit status 1 for the first find, after it was kept; for memory that grew all the time.
"""

import hashlib
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from support.rubbish import PURE
from support.rubbish_proxied import PROXIED
from support.rubbish_wire import WIRE, leave_nothing

TARGETS = (*PURE, *WIRE, *PROXIED)
MOST_GROWTH = 150_000_000  # octets, after each target had its first round


def main(seconds: float) -> int:
    """Fuzzes for `seconds`; 0 if nothing was found."""
    begun = time.monotonic()
    spent, tried = dict.fromkeys(TARGETS, 0.0), Counter()
    number, at_first = 0, 0
    try:
        while (left := seconds - (time.monotonic() - begun)) > 0:
            target = min(TARGETS, key=spent.__getitem__)  # each has the same share of the time
            number += 1
            at = time.monotonic()
            smallest = fuzz(target, number, target.per_round if left > seconds / 10 else 10)
            spent[target] += time.monotonic() - at
            tried[target.name] += target.per_round if left > seconds / 10 else 10
            if smallest is not None:
                kept = keep(smallest, target.folder, target.suffix)
                print(f"{target.name}, seed {number}: kept as {kept}")
                return 1
            at_first = at_first or (number >= len(TARGETS) and resident())
    finally:
        leave_nothing()
    for target in TARGETS:
        print(f"{tried[target.name]:>9,} {target.name} in {spent[target]:.0f} s")
    growth = resident() - at_first if at_first else 0
    print(
        f"{tried.total():>9,} examples in {seconds:.0f} s; nothing found; {growth // 1_000_000} MB more memory"
    )
    return int(growth > MOST_GROWTH)


def fuzz(target, number: int, examples: int) -> bytes | None:
    """One round; the smallest octets that break an invariant, `None` if none do."""
    last = b""

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.target, Phase.shrink),
    )
    @given(target.octets)
    def one(octets):
        nonlocal last
        last = octets
        target.check(octets)

    try:
        one()
    except Exception:
        traceback.print_exc()
        return last
    return None


def keep(octets: bytes, folder: Path, suffix: str = ".eml") -> Path:
    """Writes a find to a file named after its content."""
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / f"{hashlib.sha256(octets).hexdigest()[:12]}{suffix}"
    path.write_bytes(octets)
    return path


def resident() -> int:
    """The memory that this process has, in octets."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 300))
