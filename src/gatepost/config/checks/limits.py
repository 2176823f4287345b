"""Limits that would contradict each other.

In: settings. Out: complaints; the limit that was written down is blamed, not a default.
"""

from collections.abc import Iterator

from gatepost.config.errors import KeyPath
from gatepost.config.explain import Complaint
from gatepost.config.settings import Settings

MEMORY_PER_MESSAGE = 4  # half of it is for what comes in, which takes twice its size
_MB = 1_000_000


def memory_holds_a_message(settings: Settings) -> Iterator[Complaint]:
    """The largest message that is allowed must be possible."""
    limits = settings.limits
    wanted = MEMORY_PER_MESSAGE * limits.message_size
    if limits.memory >= wanted:
        return
    memory = f'memory = "{-(-wanted // _MB)} MB"'
    blamed, cure = ("memory", f"write {memory} or more")
    if "memory" not in limits.model_fields_set:
        blamed = "message_size"
        cure = f"write {memory} beside it, or a smaller size"
    yield Complaint(
        path=("limits", blamed),
        what=f"does not fit: a message of {_text(limits.message_size)} may take "
        f"{_text(wanted)} of memory, and limits.memory is {_text(limits.memory)}",
        cure=cure,
        rests_on=(("limits", "message_size"), ("limits", "memory")),
    )


def clients_fit_in(settings: Settings) -> Iterator[Complaint]:
    """A client cannot have more connections than there are."""
    limits = settings.limits
    if limits.connections_per_client <= limits.connections:
        return
    given: KeyPath = ("limits", "connections_per_client")
    if "connections_per_client" not in limits.model_fields_set:
        given = ("limits", "connections")
    yield Complaint(
        path=given,
        what=f"one client may have {limits.connections_per_client} connections, and all "
        f"together {limits.connections}",
        cure=f"write connections = {limits.connections_per_client} or more, "
        "or let each client have fewer",
        rests_on=(("limits", "connections"), ("limits", "connections_per_client")),
    )


def _text(octets: int) -> str:
    return f"{octets / _MB:g} MB"
