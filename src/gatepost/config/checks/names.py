"""Names: whatever a setting names exists, can be reached, and cannot be confused.

*Fails:* never; checks yield complaints.
"""

import re
from collections.abc import Iterable, Iterator

from gatepost.config.errors import KeyPath
from gatepost.config.explain import Complaint, nearest
from gatepost.config.settings import Settings
from gatepost.consent.tokens import stream_tag

MAX_NAME = 63  # a stream's name becomes a label of List-Id (RFC 2919 §2)

_PLAIN = re.compile(rf"[A-Za-z0-9](?:[A-Za-z0-9_-]{{0,{MAX_NAME - 2}}}[A-Za-z0-9])?")


def tables_have_plain_names(settings: Settings) -> Iterator[Complaint]:
    """Names go into headers, host labels and file names."""
    for table in ("upstreams", "clients", "senders", "streams", "webhooks"):
        for name in getattr(settings, table):
            if not _PLAIN.fullmatch(name):
                yield Complaint(
                    path=(table, name),
                    what="the name is not plain",
                    cure=f"use letters, digits, - and _, at most {MAX_NAME} characters",
                )


def listeners_name_clients_and_streams(settings: Settings) -> Iterator[Complaint]:
    """A listener's clients and stream exist, and these clients may send on that stream."""
    for number, listener in enumerate(settings.smtp):
        for position, name in enumerate(listener.clients):
            yield from _exists(("smtp", number, "clients", position), name, "client", settings)
        if not listener.stream:
            continue
        path = ("smtp", number, "stream")
        yield from _exists(path, listener.stream, "stream", settings)
        for name in listener.clients:
            client = settings.clients.get(name)
            known = client is not None and listener.stream in settings.streams
            if client and known and listener.stream not in client.streams:
                yield Complaint(
                    path=path,
                    what=f'client "{name}" may use this listener, but not this stream',
                    cure=f'add "{listener.stream}" to clients.{name}.streams',
                    rests_on=(("clients", name, "streams"),),
                )


def clients_name_streams(settings: Settings) -> Iterator[Complaint]:
    """A client has streams, they exist, and the default is one of them."""
    for name, client in settings.clients.items():
        path = ("clients", name, "streams")
        if not client.streams:
            streams = _listed(settings.streams) or '"newsletter"'
            yield Complaint(
                path=path,
                what="is empty: the client may send nothing",
                cure=f"write streams = [{streams}] or some of them",
            )
        for position, stream in enumerate(client.streams):
            yield from _exists((*path, position), stream, "stream", settings)
        if client.default_stream and client.default_stream not in client.streams:
            yield Complaint(
                path=("clients", name, "default_stream"),
                what="is not among the client's streams",
                cure=f"add it to streams, or choose one of {_listed(client.streams)}",
                rests_on=(path,),
            )


def streams_name_senders(settings: Settings) -> Iterator[Complaint]:
    """A stream has a sender that exists; only personal mail may go without one."""
    for name, stream in settings.streams.items():
        path = ("streams", name, "sender")
        if stream.sender:
            yield from _exists(path, stream.sender, "sender", settings)
        elif stream.kind != "personal":
            senders = _listed(settings.senders, 1) or '"acme"'
            yield Complaint(
                path=path,
                what=f"is missing: {stream.kind} mail is sent on somebody's behalf",
                cure=f"write sender = {senders}",
                rests_on=(("streams", name, "kind"),),
            )


def everything_names_upstreams(settings: Settings) -> Iterator[Complaint]:
    """An upstream that a sender or stream names exists."""
    for name, sender in settings.senders.items():
        if sender.upstream:
            path = ("senders", name, "upstream")
            yield from _exists(path, sender.upstream, "upstream", settings)
    for name, stream in settings.streams.items():
        if stream.upstream:
            path = ("streams", name, "upstream")
            yield from _exists(path, stream.upstream, "upstream", settings)


def rules_name_clients_and_streams(settings: Settings) -> Iterator[Complaint]:
    """A rule's client and stream exist, and some client can reach that stream by it."""
    for number, rule in enumerate(settings.classify):
        if rule.client:
            path = ("classify", number, "client")
            yield from _exists(path, rule.client, "client", settings)
        path = ("classify", number, "stream")
        yield from _exists(path, rule.stream, "stream", settings)
        names = [rule.client] if rule.client else list(settings.clients)
        clients = [settings.clients[name] for name in names if name in settings.clients]
        if not clients or rule.stream not in settings.streams:
            continue
        if not any(rule.stream in client.streams for client in clients):
            who = f'client "{rule.client}" has' if rule.client else "any client has"
            yield Complaint(
                path=path,
                what=f"can never be chosen: it is not among the streams that {who}",
                cure=f"add it to clients.{rule.client or names[0]}.streams",
                rests_on=tuple(("clients", name, "streams") for name in names),
            )


def stream_tags_differ(settings: Settings) -> Iterator[Complaint]:
    """Links name a stream by a short tag; two streams with one tag would be one."""
    seen: dict[int, str] = {}
    for name in settings.streams:
        other = seen.setdefault(stream_tag(name), name)
        if other != name:
            yield Complaint(
                path=("streams", name),
                what=f'has by accident the same tag in links as the stream "{other}"',
                cure="give the newer of the two another name",
            )


def _exists(path: KeyPath, name: str, noun: str, settings: Settings) -> Iterator[Complaint]:
    """A complaint unless there is a table for the `noun` called `name`."""
    table = f"{noun}s"
    known = getattr(settings, table)
    if name in known:
        return
    near = nearest(name, known)
    if near:
        cure = f'did you mean "{near}"?'
    elif known:
        cure = f"write one of {_listed(known)}, or add [{table}.{name}]"
    else:
        cure = f"add [{table}.{name}]"
    yield Complaint(path=path, what=f'there is no {noun} "{name}"', cure=cure, rests_on=((table,),))


def _listed(names: Iterable[str], most: int | None = None) -> str:
    return ", ".join(f'"{name}"' for name in list(names)[:most])
