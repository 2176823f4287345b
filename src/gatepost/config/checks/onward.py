"""What travels on: webhooks can sign, are about senders that exist, and can be verified.

*Fails:* never; checks yield complaints.
"""

import ssl
from collections.abc import Iterator
from pathlib import Path

from gatepost.config.errors import KeyPath
from gatepost.config.explain import Complaint, nearest
from gatepost.config.settings import Settings
from gatepost.consent.announcing import signing_key


def webhooks_can_sign(settings: Settings) -> Iterator[Complaint]:
    """A secret that can be guessed signs nothing."""
    for name, hook in settings.webhooks.items():
        try:
            signing_key(hook.secret.get_secret_value())
        except ValueError as error:
            yield Complaint(
                path=("webhooks", name, "secret"),
                what=str(error),
                cure='write 24 random characters or more, or "whsec_" and base64',
            )


def webhooks_name_senders(settings: Settings) -> Iterator[Complaint]:
    """A webhook hears of senders that there are."""
    for name, hook in settings.webhooks.items():
        for position, sender in enumerate(hook.senders):
            if sender in settings.senders:
                continue
            near = nearest(sender, settings.senders)
            listed = ", ".join(f'"{one}"' for one in settings.senders)
            yield Complaint(
                path=("webhooks", name, "senders", position),
                what=f'there is no sender "{sender}"',
                cure=f'did you mean "{near}"?' if near else f"write one of {listed}",
                rests_on=(("senders",),),
            )


def authorities_can_be_read(settings: Settings) -> Iterator[Complaint]:
    """A file that vouches for others holds certificates."""
    given: list[tuple[KeyPath, Path | None]] = [
        (("onward", "authority"), settings.onward.authority)
    ]
    given += [
        (("webhooks", name, "authority"), h.authority) for name, h in settings.webhooks.items()
    ]
    for path, file in given:
        if file is None:
            continue
        try:
            ssl.create_default_context(cafile=str(file))
        except OSError as error:  # ssl.SSLError is one
            unreadable = f"the file cannot be read: {error.strerror}"
            is_read = isinstance(error, ssl.SSLError)
            yield Complaint(
                path=path,
                what="the file holds no certificate" if is_read else unreadable,
                cure="give the path of a PEM file with the certificate of the authority",
            )
