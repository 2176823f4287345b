"""The register: adding a source. What a source is never changes; a changed form is a new one.

*Fails:* `SourceError` where the name is taken, or what is said about the source is unfit.
"""

from collections.abc import Sequence

from sqlalchemy import insert

from gatepost.consent.scope import MAIL
from gatepost.store import kept
from gatepost.store.sources.records import CHANNELS, KINDS, SourceError
from gatepost.store.sources.rows import source_id
from gatepost.store.tables.ledger import source
from gatepost.store.transaction import Tx

_LONGEST_NAME = 100


@kept.recorded
def add_source(
    tx: Tx,
    name: str,
    *,
    sender: str = "",
    kind: str = "",
    streams: Sequence[str] = (),
    description: str = "",
    url: str = "",
    channels: Sequence[str] = (MAIL,),
    categories: Sequence[str] = (),
    reconstructed: bool = False,
    attested_by: str = "",
    attested_why: str = "",
) -> None:
    """Adds a source without a text. Raises `SourceError` if the name is taken or unfit.

    A source that is put together later needs somebody who vouches for it, and why they can.
    """
    if not name or name != name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise SourceError(f"a source's name has 1 to {_LONGEST_NAME} printable characters")
    if kind and kind not in KINDS:
        raise SourceError(f"a source is of one of the kinds {', '.join(KINDS)}")
    unknown = [one for one in channels if one not in CHANNELS]
    if unknown or not channels:
        raise SourceError(f"a consent is for one or more of the channels {', '.join(CHANNELS)}")
    if reconstructed and not (attested_by.strip() and attested_why.strip()):
        raise SourceError("who put the source together, and from what? Both must be on record")
    if source_id(tx, name) is not None:
        raise SourceError(f"there is a source {name!r} already")
    tx.connection.execute(
        insert(source).values(
            name=name,
            sender=sender,
            kind=kind,
            streams=",".join(streams),
            description=description,
            url=url,
            channel=",".join(channels),
            categories=",".join(categories),
            reconstructed=reconstructed,
            attested_by=attested_by.strip(),
            attested_why=attested_why.strip(),
            created_ms=tx.now_ms,
        )
    )
