"""A session over real sockets: commands, their order, and what the handler is given."""

from support.smtp_talk import connected


async def test_a_message_reaches_the_handler(listen, handler):
    listener = await listen()
    async with connected(listener.port) as talk:
        answer = await talk.mail(
            b"Subject: x\r\n\r\n..dot\r\nbye\r\n", "One@shop.example", "two@shop.example"
        )
        assert answer.status == "250 2.0.0"
        assert (await talk.say("QUIT")).status == "221 2.0.0"
        assert await talk.rest() == b""
    assert handler.contents == [b"Subject: x\r\n\r\n.dot\r\nbye\r\n"]
    assert handler.envelope.mail_from == "a@acme.example"
    assert handler.recipients == ["One@shop.example", "two@shop.example"]
    arrival = handler.arrival
    assert (arrival.client.name, arrival.peer, arrival.ehlo) == (
        "local",
        "127.0.0.1",
        "client.example",
    )
    assert (arrival.protocol, arrival.cipher) == ("ESMTP", "")
