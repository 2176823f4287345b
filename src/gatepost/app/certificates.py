"""The certificates of the SMTP listeners, which may be renewed while they listen.

In: listeners' settings. Out: one TLS context for each, which whoever greets with TLS from the
next reload on meets with the renewed certificate; sessions that are open keep theirs.

*Fails:* `WiringError` where a certificate cannot be used; then none has changed.
*Known limits:* they are read twice, to be tried and to be shown; a file that breaks between the
two, which takes less than a millisecond, leaves the listeners before it with renewed ones.
"""

import ssl
from collections.abc import Iterable

from gatepost.app.wiring import tls_context
from gatepost.config.gateway import SmtpSettings


class Certificates:
    """What the listeners of a process show."""

    def __init__(self) -> None:
        self._shown: list[tuple[SmtpSettings, ssl.SSLContext]] = []

    def context_of(self, listener: SmtpSettings) -> ssl.SSLContext | None:
        """The context of a listener that is about to open; `None` without TLS."""
        context = tls_context(listener)
        if context is not None:
            self._shown.append((listener, context))
        return context

    def renew(self, listeners: Iterable[SmtpSettings]) -> None:
        """Reads all certificates again, from where the new settings say that they are.

        A listener that the settings name no more listens until the restart with what it has.
        """
        now = {(one.address, one.port): one for one in listeners if one.tls != "none"}
        places = [((old.address, old.port), context) for old, context in self._shown]
        renewed = [(now[place], context) for place, context in places if place in now]
        for listener, _ in renewed:
            tls_context(listener)
        for listener, context in renewed:
            context.load_cert_chain(str(listener.certificate), str(listener.key))


def without_certificates(listeners: Iterable[SmtpSettings]) -> list[SmtpSettings]:
    """What of the listeners takes a restart."""
    return [one.model_copy(update={"certificate": None, "key": None}) for one in listeners]
