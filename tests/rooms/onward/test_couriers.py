"""Where a request may go, and what it brings back: real TLS on loopback, names as scripted."""

import asyncio

import pytest

from gatepost.app.onward.couriers import Courier, Trouble, is_public
from support.listening import listening


def names(*answers):
    """A resolver that gives one answer after the other, and what it was asked."""
    asked, left = [], list(answers)

    async def resolve(host, port):
        asked.append(host)
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve, asked


async def post(there, url=None, *, allow_private=True, resolve=None, seconds=30.0, body=b"x"):
    more = {"resolve": resolve} if resolve else {}
    courier = Courier(
        allow_private=allow_private, authority=there.authority, seconds=seconds, **more
    )
    try:
        return await courier.post(url or there.url, body, {"X-Test": "1"})
    finally:
        await courier.close()


async def test_a_request_arrives_under_its_name(tmp_path):
    async with listening(tmp_path, "crm.example") as there:
        resolve, asked = names(["127.0.0.1"])
        url = f"https://crm.example:{there.port}/hook?a=b"
        answer = await post(there, url, resolve=resolve)
        assert answer.status == 200
        (heard,) = there.heard
        assert (heard.path, heard.headers["host"]) == ("/hook?a=b", f"crm.example:{there.port}")
        assert asked == ["crm.example"]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
     "100.64.0.1", "100.100.100.200", "0.0.0.0", "255.255.255.255", "224.0.0.1", "192.0.2.1",
     "168.63.129.16", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254",
     "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
     "2001:db8::1", "nonsense", ""],
)  # fmt: skip
async def test_an_address_that_is_not_the_internets_is_not_told(tmp_path, address):
    assert not is_public(address)
    async with listening(tmp_path) as there:
        resolve, _ = names([address])
        with pytest.raises(Trouble, match="private"):
            await post(there, allow_private=False, resolve=resolve)
        assert there.connections == 0


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_the_internets_addresses_are(address):
    assert is_public(address)


async def test_a_literal_address_is_checked_like_any_other(tmp_path):
    async with listening(tmp_path, "127.0.0.1") as there:
        with pytest.raises(Trouble, match="private"):
            await post(there, f"https://127.0.0.1:{there.port}/", allow_private=False)
        assert (await post(there, f"https://127.0.0.1:{there.port}/")).status == 200


async def test_a_name_is_asked_for_once_and_what_was_checked_is_connected_to(tmp_path):
    """DNS rebinding: a second answer would lead elsewhere, and nobody asks for it."""
    async with listening(tmp_path, "rebind.example") as there:
        resolve, asked = names(["127.0.0.1"], ["127.0.0.9"])  # nobody listens at the second
        url = f"https://rebind.example:{there.port}/"
        assert (await post(there, url, resolve=resolve)).status == 200
        assert asked == ["rebind.example"]


async def test_a_name_that_turns_private_is_refused_when_it_does(tmp_path):
    async with listening(tmp_path, "rebind.example") as there:
        courier = Courier(authority=there.authority, resolve=names(["8.8.8.8"], ["127.0.0.1"])[0])
        assert await courier._addresses("rebind.example", 443) == ["8.8.8.8"]
        with pytest.raises(Trouble, match="private"):
            await courier.post(f"https://rebind.example:{there.port}/", b"", {})
        await courier.close()
        assert there.connections == 0


async def test_of_mixed_addresses_only_the_public_one_is_left():
    courier = Courier(resolve=names(["127.0.0.1", "8.8.8.8", "::1"])[0])
    assert await courier._addresses("mixed.example", 443) == ["8.8.8.8"]
    await courier.close()


async def test_the_certificate_must_be_for_the_name(tmp_path):
    async with listening(tmp_path, "somebody.example") as there:
        with pytest.raises(Trouble, match="certificate"):
            await post(there)
        assert there.heard == []


async def test_the_certificate_must_be_vouched_for(tmp_path):
    async with listening(tmp_path) as there:
        there.authority = None
        with pytest.raises(Trouble, match="certificate"):
            await post(there)
        assert there.heard == []


async def test_an_expired_certificate_is_none(tmp_path):
    async with listening(tmp_path, days=-1) as there:
        with pytest.raises(Trouble, match="expired"):
            await post(there)


async def test_redirects_are_not_followed(tmp_path):
    async with listening(tmp_path) as there:

        async def elsewhere(writer):
            writer.write(
                f"HTTP/1.1 302 Found\r\nLocation: {there.url}2\r\nContent-Length: 0\r\n\r\n".encode()
            )
            await writer.drain()

        there.answers = [elsewhere]
        assert (await post(there)).status == 302
        assert len(there.heard) == 1


async def test_a_body_that_never_ends_is_not_read(tmp_path):
    async with listening(tmp_path) as there:

        async def endless(writer):
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"x" * 1000)
                await writer.drain()

        there.answers = [endless]
        assert (await post(there)).status == 200


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"]
)
async def test_who_is_slow_is_not_waited_for(tmp_path, said):
    async with listening(tmp_path) as there:
        done = asyncio.Event()

        async def slow(writer):
            writer.write(said)
            await writer.drain()
            await done.wait()

        there.answers = [slow]
        with pytest.raises(Trouble, match="no answer"):
            await post(there, seconds=0.5)
        done.set()


async def test_garbage_is_trouble(tmp_path):
    async with listening(tmp_path) as there:

        async def garbage(writer):
            writer.write(b"220 mail.example ESMTP\r\n")
            await writer.drain()

        there.answers = [garbage]
        with pytest.raises(Trouble, match="broke"):
            await post(there)


@pytest.mark.parametrize("url", ["http://localhost/", "ftp://localhost/", "https:///", "localhost"])
async def test_only_https_is_told(tmp_path, url):
    async with listening(tmp_path) as there:
        with pytest.raises(Trouble, match="https"):
            await post(there, url)


async def test_nobody_there_and_no_name(tmp_path):
    async with listening(tmp_path) as there:
        port = there.port
    with pytest.raises(Trouble, match="no connection"):
        await post(there, f"https://localhost:{port}/")

    async def nowhere(host, port):
        raise OSError("no such host")

    with pytest.raises(Trouble, match="resolve"):
        await post(there, resolve=nowhere)


async def test_how_long_to_wait_is_heard(tmp_path):
    async with listening(tmp_path) as there:

        async def busy(writer):
            writer.write(b"HTTP/1.1 429 X\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

        there.answers = [busy]
        answer = await post(there)
        assert (answer.status, answer.retry_after) == (429, 17.0)
