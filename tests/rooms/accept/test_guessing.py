"""Guessing passwords: delays, locks by name and network, and what it may not cost others."""

import base64
import subprocess
import sys
from ipaddress import ip_address

import pytest
from structlog.testing import capture_logs

from gatepost.flow.accept import guessing, passwords
from gatepost.flow.accept.guessing import PATIENCE, Guesses, network_of, shared_memory
from gatepost.flow.accept.passwords import Passwords, hash_password
from gatepost.flow.accept.secured import MAX_AUTH_FAILURES
from gatepost.mail.client import Client
from support.smtp_talk import connected

HERE, NEIGHBOUR, ELSEWHERE = map(ip_address, ("192.0.2.7", "192.0.2.99", "198.51.100.7"))
PAIR, NETWORK, NAME = PATIENCE["name and network"], PATIENCE["network"], PATIENCE["name"]
CHEAP = (4, 8, 1)
HASH = "$scrypt$ln=4,r=8,p=1$WKcqunicTcoy5B85i8r+9w$xhdTdlxOa144WdzZvuY/n/NGaZAjV44pHFDm2IeO6l4"
APP = Client(name="app", username="app", password_hash=HASH)


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch):
    monkeypatch.setattr(passwords, "_COST", CHEAP)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def guesses(clock):
    return Guesses(clock=clock)


def fail(guesses, times, name=b"app", peer=HERE):
    return [guesses.failed(name, peer) for _ in range(times)]


def address(number):
    return ip_address(f"203.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")


def test_the_mistakes_of_a_person_cost_nothing_and_then_ever_more(guesses):
    assert [one.delay for one in fail(guesses, 5)] == [0, 0, 1, 2, 4]


def test_a_name_is_locked_for_its_network_first(guesses):
    *before, last = fail(guesses, PAIR.failures)
    assert not any(one.locks for one in before)
    assert last.locks == [("name and network", PAIR.lock)]
    assert guesses.locked(b"app", HERE)
    assert guesses.locked(b"app", NEIGHBOUR)  # of the same /24
    assert not guesses.locked(b"other", HERE)
    assert not guesses.locked(b"app", ELSEWHERE)


def test_a_lock_ends_by_itself_and_the_next_one_is_longer(guesses, clock):
    lengths = []
    for _ in range(8):
        ((_, seconds),) = fail(guesses, PAIR.failures)[-1].locks
        lengths.append(seconds)
        clock.now += seconds - 1
        assert guesses.locked(b"app", HERE)
        clock.now += 2
        assert not guesses.locked(b"app", HERE)
    assert lengths[:3] == [300, 600, 1200]
    assert lengths[-1] == PAIR.longest
    clock.now += 2 * 86_400  # a quiet day: all is forgiven
    assert fail(guesses, PAIR.failures)[-1].locks == [("name and network", PAIR.lock)]


def test_failures_that_are_far_between_lock_nothing(guesses, clock):
    for _ in range(100):
        assert not guesses.failed(b"app", HERE).locks
        clock.now += PAIR.window / PAIR.failures


def test_a_network_that_tries_many_names_is_locked_as_a_whole(guesses):
    locks = [fail(guesses, 1, b"name%d" % n)[0].locks for n in range(NETWORK.failures)]
    assert locks[-1] == [("network", NETWORK.lock)]
    assert not any(locks[:-1])
    assert guesses.locked(b"never tried", NEIGHBOUR)
    assert not guesses.locked(b"never tried", ELSEWHERE)


def test_a_name_that_is_tried_from_everywhere_is_locked(guesses):
    locks = [fail(guesses, 1, b"app", address(n << 8))[0].locks for n in range(NAME.failures)]
    assert locks[-1] == [("name", NAME.lock)]
    assert guesses.locked(b"app", ELSEWHERE)
    assert not guesses.locked(b"other", ELSEWHERE)


def test_a_neighbour_who_guesses_locks_out_no_user_who_got_in_before(guesses, clock):
    guesses.succeeded(b"app", HERE)
    fail(guesses, NETWORK.failures + 1, b"other", NEIGHBOUR)
    assert guesses.locked(b"third", HERE)
    assert not guesses.locked(b"app", HERE)
    for number in range(NAME.failures + 1):  # nor does a crowd all over the world
        fail(guesses, 1, b"app", address(number << 8))
    assert guesses.locked(b"app", ELSEWHERE)
    assert not guesses.locked(b"app", HERE)
    fail(guesses, PAIR.failures)  # but the user's own network and name
    assert guesses.locked(b"app", HERE)
    clock.now += PAIR.lock + 1
    assert not guesses.locked(b"app", HERE)


def test_success_forgets_the_mistakes_before_it(guesses):
    for _ in range(10):
        assert not any(one.locks for one in fail(guesses, PAIR.failures - 1))
        guesses.succeeded(b"app", HERE)
        guesses.succeeded(b"app", HERE)


def test_networks():
    assert network_of(HERE) == network_of(NEIGHBOUR) != network_of(ELSEWHERE)
    one, same, other = map(ip_address, ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"))
    assert network_of(one) == network_of(same) != network_of(other)


def test_a_flood_of_names_and_networks_takes_no_memory_and_frees_nobody(guesses, monkeypatch):
    monkeypatch.setattr(guessing, "_BUCKETS", 64)  # room for 512 counts
    fail(guesses, PAIR.failures)
    before = len(guesses._table)
    for number in range(5_000):
        guesses.failed(b"%d" % number, address(number * 251))
    assert len(guesses._table) == before < 2_000_000
    assert guesses.locked(b"app", HERE)


def test_the_table_holds_no_name_and_no_address(guesses):
    name = b"a very particular name"
    fail(guesses, 5, name)
    guesses.succeeded(name, HERE)
    assert name not in bytes(guesses._table)
    assert HERE.packed not in bytes(guesses._table)


def test_workers_share_the_counts():
    memory = shared_memory()
    first, second = Guesses(memory), Guesses(memory)
    fail(first, PAIR.failures - 1)
    assert fail(second, 1)[0].locks
    assert first.locked(b"app", HERE)
    program = (
        "import sys; from ipaddress import ip_address; "
        "from gatepost.flow.accept.guessing import Guesses; "
        f"sys.exit(Guesses({memory}).locked(b'app', ip_address('{HERE}')))"
    )
    child = subprocess.run([sys.executable, "-c", program], pass_fds=(memory,), check=False)
    assert child.returncode == 1


# Through the door


def encoded(name, password):
    return base64.b64encode(f"\0{name}\0{password}".encode()).decode()


@pytest.fixture
def counted(monkeypatch):
    """How often scrypt ran."""
    calls = []
    real = passwords.hashlib.scrypt

    def scrypt(*words, **more):
        calls.append(words)
        return real(*words, **more)

    monkeypatch.setattr(passwords.hashlib, "scrypt", scrypt)
    return calls


@pytest.mark.parametrize("name", ["app", "nobody"])
async def test_unknown_names_and_wrong_passwords_are_answered_alike(listen, counted, at_once, name):
    """Equal replies, equal work, equal delays, the same lock: nothing tells who is a user."""
    listener = await listen([APP])
    answers = []
    for _ in range(2):
        async with connected(listener.port) as talk:
            for _ in range(MAX_AUTH_FAILURES):
                answers.append((await talk.say(f"AUTH PLAIN {encoded(name, 'x')}")).status)
    assert answers == [*["535 5.7.8"] * 4, "421 4.7.0", *["454 4.7.0"] * 4, "421 4.7.0"]
    assert len(counted) == 5  # none of those that were put off
    assert at_once == [1, 2, 4]


async def test_a_lock_is_logged_once_and_puts_off_the_right_password_too(listen, at_once):
    clock = Clock()
    listener = await listen([APP], guesses=Guesses(clock=clock))
    with capture_logs() as logged:
        async with connected(listener.port) as talk:
            await talk.say(*[f"AUTH PLAIN {encoded('app', 'x')}"] * (PAIR.failures - 1))
            await talk.say(f"AUTH PLAIN {encoded('app', 'x')}")
        async with connected(listener.port) as talk:
            assert (
                await talk.say(f"AUTH PLAIN {encoded('app', 'pass word')}")
            ).status == "454 4.7.0"
            assert (await talk.say(f"AUTH PLAIN {encoded('app', 'x')}")).status == "454 4.7.0"
            clock.now += PAIR.lock + 1
            assert (
                await talk.say(f"AUTH PLAIN {encoded('app', 'pass word')}")
            ).status == "235 2.7.0"
    locks = [one for one in logged if one["event"] == "authentication locked"]
    assert [(one["client"], one["what"], one["minutes"]) for one in locks] == [
        ("app", "name and network", 5)
    ]
    assert "x" not in {value for one in logged for value in one.values()}


async def test_names_of_any_kind(listen, at_once):
    """Whatever is said for a name is one failed attempt, and nothing else."""
    listener = await listen([APP])
    for name in ("x" * 8000, "app\r\nX: y", "äpp", "\x1b[2J", "' OR 1=1 --", "*", "app\n"):
        async with connected(listener.port) as talk:
            assert (await talk.say(f"AUTH PLAIN {encoded(name, 'pass word')}")).code in {535, 501}
            assert (await talk.say("MAIL FROM:<a@acme.example>")).status == "530 5.7.0"


async def test_a_changed_password_holds_at_once(counted):
    checker = Passwords()
    name, words = b"mailing program", b"old password"  # too long to be among random octets
    old, new = hash_password("old password"), hash_password("new password")
    assert await checker.check(name, words, old)
    counted.clear()
    assert await checker.check(name, words, old)
    assert counted == []  # remembered
    assert not await checker.check(name, words, new)
    assert await checker.check(name, b"new password", new)
    memory = b"".join(checker._until)
    assert words not in memory
    assert name not in memory
    checker.close()


def test_the_memory_can_be_inherited_and_has_a_key_of_its_own():
    one, other = shared_memory(), shared_memory()
    assert Guesses(one)._key == Guesses(one)._key != Guesses(other)._key
    assert len(Guesses(one)._table) == guessing._SIZE
