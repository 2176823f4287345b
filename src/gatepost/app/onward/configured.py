"""Settings → those who are told.

In: the configuration in force. Out: what makes each destination, with what it was made from, so
that a reload starts anew only those that changed.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

from gatepost.app.onward.couriers import Resolve, resolve
from gatepost.app.onward.destinations import Destination
from gatepost.app.onward.mailers import NAME, Allowed, Mailers
from gatepost.app.onward.sending import Onward
from gatepost.app.onward.webhooks import Hook, Webhook
from gatepost.app.wiring import Wiring, in_time
from gatepost.config import Settings
from gatepost.config.onward import WebhookSettings
from gatepost.consent.announcing import signing_key
from gatepost.consent.evidence import EventKind
from gatepost.store.engine import Store


def onward_for(
    store: Store, wiring: Callable[[], Wiring], holder: str, resolve: Resolve = resolve
) -> Onward:
    """Tells everybody whom the configuration names, as `holder`."""

    def destinations() -> Mapping[str, tuple[object, Callable[[], Destination]]]:
        settings = wiring().settings
        found: dict[str, tuple[object, Callable[[], Destination]]] = {
            hook.name: (hook, partial(Webhook, hook, store.now, resolve))
            for hook in hooks(settings).values()
        }
        allowed = allowed_mailers(settings)
        if allowed.hosts:
            found[NAME] = allowed, partial(Mailers, store, wiring, allowed, resolve)
        return found

    def give_up_after() -> timedelta:
        return in_time(wiring().settings.onward.give_up_after)

    return Onward(store, destinations, give_up_after, holder)


def hooks(settings: Settings) -> dict[str, Hook]:
    """The webhooks by name."""
    return {name: _hook(name, given) for name, given in settings.webhooks.items()}


def allowed_mailers(settings: Settings) -> Allowed:
    """Which mailers are told."""
    given = settings.onward
    return Allowed(given.allowed_hosts, in_time(given.wait), given.allow_private, given.authority)


def _hook(name: str, given: WebhookSettings) -> Hook:
    return Hook(
        name=name,
        url=given.url,
        key=signing_key(given.secret.get_secret_value()),
        senders=frozenset(given.senders),
        events=frozenset(EventKind(event) for event in given.events),
        imports=given.imports,
        addresses=given.addresses,
        allow_private=given.allow_private,
        authority=given.authority,
    )
