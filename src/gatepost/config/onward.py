"""Settings of what travels on: which mailers and which webhooks are told that somebody left.

In: tables of config.toml. Out: frozen `Section` values.
"""

from typing import Literal

from gatepost.config.setting import Section, required, setting
from gatepost.config.values import HookUrl, HostGlob, Length, PathText, Secret, Several

EventName = Literal[
    "granted", "requested", "confirmed", "withdrawn", "resubscribed", "bounced", "complained",
    "suppressed", "suppression-lifted", "transferred", "erased",
]  # fmt: skip


class OnwardSettings(Section):
    """Telling others that somebody left."""

    allowed_hosts: Several[HostGlob] = setting(
        [],
        "hosts of mailers' own List-Unsubscribe that are told; [] = none",
        detail=(
            'Names or globs such as `"*.crm.example"`; of a `mailto:` the domain. Told are '
            "submissions with one recipient, when that person leaves or complains."
        ),
        sample=[],
    )
    wait: Length = setting(
        "5 minutes", "who comes back within this is not reported as gone", most="7 days"
    )
    give_up_after: Length = setting(
        "3 days", "then a delivery is given up and listed", least="1 h", most="30 days"
    )
    allow_private: bool = setting(
        False, "mailers in private networks may be told", detail="The hosts above still count."
    )
    authority: PathText = setting("", 'PEM file that vouches for them; "" = the system\'s')


class WebhookSettings(Section):
    """A system of your own that is told of changes."""

    url: HookUrl = required("https address", sample="https://crm.acme.example/hooks/gatepost")
    secret: Secret = required(
        'signs what is sent; 24 characters at least, or "whsec_..."',
        sample="24 random characters or more",
    )
    senders: Several[str] = setting([], "only of these senders; [] = all")
    events: Several[EventName] = setting([], 'only these, such as "withdrawn"; [] = all')
    imports: bool = setting(False, "also what an import recorded")
    addresses: Literal["plain", "hashed"] = setting("plain", '"hashed": SHA-256 of the address')
    allow_private: bool = setting(False, "the address may lie in a private network")
    authority: PathText = setting("", 'PEM file that vouches for it; "" = the system\'s')
