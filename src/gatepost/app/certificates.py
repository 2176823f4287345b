"""The certificates of the SMTP listeners, which may be renewed while they listen.

In: listeners' settings. Out: TLS contexts; whoever greets with TLS after a reload meets the
renewed ones, sessions that are open keep theirs. All are read, once each, before the first is
shown: a file that breaks under way leaves every listener with what it had.

*Fails:* `WiringError` where a certificate cannot be used.
"""

import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path

from gatepost.app.wiring import tls_context
from gatepost.config.gateway import SmtpSettings


def contexts_of(listeners: Iterable[SmtpSettings]) -> list[ssl.SSLContext | None]:
    """The context of each listener, `None` without TLS; those with the same files share one."""
    read: dict[tuple[Path | None, Path | None], ssl.SSLContext | None] = {}
    contexts: list[ssl.SSLContext | None] = []
    for one in listeners:
        files = (one.certificate, one.key) if one.tls != "none" else (None, None)
        if files not in read:
            read[files] = tls_context(one)
        contexts.append(read[files])
    return contexts


def renewed(
    opened: Iterable[SmtpSettings], listeners: Sequence[SmtpSettings]
) -> list[ssl.SSLContext | None]:
    """What each of the listeners that were `opened` is to show from now on; `None` for what it has.

    One that the new settings name no more listens until the restart with what it has.
    """
    contexts = zip(listeners, contexts_of(listeners), strict=True)
    now = {(one.address, one.port): context for one, context in contexts}
    return [now.get((one.address, one.port)) if one.tls != "none" else None for one in opened]


def without_certificates(listeners: Iterable[SmtpSettings]) -> list[SmtpSettings]:
    """What of the listeners takes a restart."""
    return [one.model_copy(update={"certificate": None, "key": None}) for one in listeners]
