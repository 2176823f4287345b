"""Clients by network and by name; what each uses."""

import os
import subprocess
import sys
from ipaddress import ip_address, ip_network

import pytest

from gatepost.flow.accept import rates
from gatepost.flow.accept.clients import ClientTable, peer_address
from gatepost.flow.accept.passwords import hash_password
from gatepost.flow.accept.usage import Usage, network_of
from gatepost.mail.client import Client

HASH = hash_password("x")


def client(name, *networks, username="", **more):
    return Client(
        name=name,
        networks=tuple(ip_network(network) for network in networks),
        username=username,
        password_hash=HASH if username else "",
        **more,
    )


def test_the_most_specific_network_wins():
    table = ClientTable([
        client("wide", "10.0.0.0/8", "2001:db8::/32"),
        client("narrow", "10.1.0.0/16"),
        client("host", "10.1.2.3/32", "2001:db8::1/128"),
        client("all", "0.0.0.0/0"),
    ])  # fmt: skip

    def who(peer):
        found = table.by_network(ip_address(peer))
        return found.name if found else None

    assert who("10.1.2.3") == "host"
    assert who("10.1.2.4") == "narrow"
    assert who("10.2.0.1") == "wide"
    assert who("192.0.2.1") == "all"
    assert who("2001:db8::1") == "host"
    assert who("2001:db8::2") == "wide"
    assert who("2001:db9::2") is None


def test_equal_networks_cannot_be_told_apart():
    with pytest.raises(ValueError, match=r'"one" and "two".*10.0.0.0/8'):
        ClientTable([client("one", "10.0.0.0/8"), client("two", "10.0.0.0/8", "10.1.0.0/16")])


def test_equal_networks_may_be_told_apart_by_name():
    table = ClientTable([
        client("one", "10.0.0.0/8"),
        client("two", "10.0.0.0/8", username="two"),
        client("three", "10.0.0.0/8", username="three"),
    ])  # fmt: skip
    assert table.by_network(ip_address("10.0.0.1")).name == "one"


def test_equal_user_names_cannot_be_told_apart():
    with pytest.raises(ValueError, match=r'"one" and "two".*"app"'):
        ClientTable([client("one", username="app"), client("two", username="app")])


def test_a_hash_that_is_none_is_named():
    with pytest.raises(ValueError, match=r'client "one": .*hash-password'):
        ClientTable([Client(name="one", username="app", password_hash="secret")])


def test_with_both_both_must_match():
    table = ClientTable([client("both", "10.0.0.0/8", username="app")])
    assert table.by_network(ip_address("10.0.0.1")) is None
    assert table.by_username("app", ip_address("192.0.2.1")) is None
    assert table.by_username("app", ip_address("10.0.0.1")).name == "both"
    assert table.by_username("App", ip_address("10.0.0.1")) is None


def test_mapped_addresses_are_ipv4():
    assert peer_address("::ffff:192.0.2.1") == ip_address("192.0.2.1")
    assert peer_address("fe80::1%eth0") == ip_address("fe80::1")


def test_connections_are_counted():
    usage = Usage()
    assert usage.enter("a", 2, total=9)
    assert usage.enter("a", 2, total=9)
    assert not usage.enter("a", 2, total=9)
    assert usage.enter("b", 2, total=9)
    usage.leave("a")
    assert usage.enter("a", 2, total=9)


def test_strangers_get_half_of_all_connections():
    usage = Usage()
    for number in range(2):
        assert usage.enter(f"network {number}", 1, total=4, stranger=True)
    assert not usage.enter("another network", 1, total=4, stranger=True)
    assert usage.enter("a", 9, total=4)
    assert usage.enter("a", 9, total=4)
    assert not usage.enter("a", 9, total=4)
    usage.leave("network 0", stranger=True)
    assert usage.enter("another network", 1, total=4, stranger=True)
    usage.leave("a")
    assert usage.enter("b", 1, total=4)


@pytest.mark.parametrize(
    ("one", "other"),
    [("192.0.2.1", "192.0.2.200"), ("2001:db8::1", "2001:db8::ffff:1"),
     ("192.0.2.1", "::ffff:192.0.2.9")],
)  # fmt: skip
def test_strangers_of_one_network_are_counted_together(one, other):
    assert network_of(peer_address(one)) == network_of(peer_address(other))


@pytest.mark.parametrize(
    ("one", "other"), [("192.0.2.1", "192.0.3.1"), ("2001:db8::1", "2001:db8:0:1::1")]
)
def test_strangers_of_two_networks_are_not(one, other):
    assert network_of(peer_address(one)) != network_of(peer_address(other))


def test_a_rate_is_a_bucket_that_fills():
    usage, sender = Usage(), client("a", rate=(3, 60.0))
    assert [usage.spend(sender, 0.0) for _ in range(4)] == [True, True, True, False]
    assert not usage.spend(sender, 19.0)
    assert usage.spend(sender, 21.0)
    usage.give_back(sender, 21.0)
    assert usage.spend(sender, 21.0)
    assert [usage.spend(sender, 1000.0) for _ in range(4)] == [True, True, True, False]


def test_workers_count_to_one_rate():
    """Whichever of them a connection comes to, and although one of them is new."""
    memory, sender = rates.shared_memory(), client("a", rate=(4, 60.0))
    first = Usage(rates.Rates(memory))
    assert first.spend(sender, 0.0)
    spend = (
        "import sys; from gatepost.flow.accept.rates import Rates; "
        f"rates = Rates({memory}); [rates.use('a', (4, 60.0), 0.0, 1) for _ in range(2)]"
    )
    subprocess.run([sys.executable, "-c", spend], pass_fds=[memory], check=True)
    second = Usage(rates.Rates(memory))
    assert second.spend(sender, 0.0)
    assert not first.spend(sender, 0.0)
    second.give_back(sender, 0.0)
    assert first.spend(sender, 0.0)
    assert first.spend(client("b", rate=(4, 60.0)), 0.0), "others have their own"
    os.close(memory)


def test_a_table_of_rates_is_never_too_full(monkeypatch):
    monkeypatch.setattr(rates, "_SLOTS", 4)
    full = Usage(rates.Rates())
    for number in range(9):
        sender = client(f"c{number}", rate=(1, 60.0))
        assert [full.spend(sender, 0.0) for _ in range(2)] == [True, False]


def test_a_changed_rate_counts_at_once():
    usage = Usage()
    assert usage.spend(client("a", rate=(1, 60.0)), 0.0)
    assert not usage.spend(client("a", rate=(1, 60.0)), 0.0)
    assert usage.spend(client("a", rate=(2, 60.0)), 0.0)
    assert usage.spend(client("a"), 0.0)
