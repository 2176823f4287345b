"""The mails that CPython tests its own `email` package with, read where they are installed.

They are looked for beside this interpreter's library and in Debian's (libpython3.x-testsuite);
never copied. Empty where neither has them.
"""

import importlib.util
from pathlib import Path


def find():
    """The paths of all of them, from the first place that has any."""
    spec = importlib.util.find_spec("test")
    own = spec.submodule_search_locations if spec else None
    places = [Path(place) for place in own or ()]
    places += sorted(Path("/usr/lib").glob("python3*/test"), reverse=True)
    for place in places:
        if found := sorted((place / "test_email" / "data").glob("msg_*.txt")):
            return found
    return []
