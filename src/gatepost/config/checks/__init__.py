"""What must hold between the settings: checks that look at more than one of them.

In: settings whose every value is right by itself. Out: complaints. The checks are small and
named, and run in the order of `CHECKS`; none stops another.
"""

from collections.abc import Callable, Iterator

from gatepost.config.checks import doors, duties, limits, names, onward, pages
from gatepost.config.explain import Complaint
from gatepost.config.settings import Settings

Check = Callable[[Settings], Iterator[Complaint]]

CHECKS: tuple[Check, ...] = (
    names.tables_have_plain_names,
    names.listeners_name_clients_and_streams,
    names.clients_name_streams,
    names.streams_name_senders,
    names.everything_names_upstreams,
    names.rules_name_clients_and_streams,
    names.stream_tags_differ,
    doors.listeners_do_not_collide,
    doors.listeners_have_certificates,
    doors.returns_listeners_are_open,
    doors.balancers_are_not_everybody,
    doors.clients_can_be_recognised,
    doors.clients_can_be_told_apart,
    doors.nobody_relays_for_strangers,
    doors.upstreams_have_passwords,
    limits.memory_holds_a_message,
    limits.clients_fit_in,
    duties.bulk_senders_are_named,
    duties.returns_have_a_listener,
    duties.verp_has_a_domain,
    duties.letters_come_from_the_sender,
    duties.ways_out_fit_into_a_header,
    duties.dkim_keys_can_sign,
    duties.releases_come_before_the_end,
    duties.confirmations_come_before_the_end,
    duties.bases_are_only_stricter,
    onward.webhooks_can_sign,
    onward.webhooks_name_senders,
    onward.authorities_can_be_read,
    pages.logos_can_be_shown,
    pages.templates_are_in_a_folder,
)


def complaints(settings: Settings) -> Iterator[Complaint]:
    """Everything that the checks complain about."""
    for check in CHECKS:
        yield from check(settings)
