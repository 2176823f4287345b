"""Sources: where consent is collected, with versioned texts and pictures of them.

A text version begins as a draft and is put to use (`activate`) when everything the law wants
of it is attested and a check of its words found nothing (JU-2, JU-4, JU-12). The next version
succeeds it, and it stays valid for those who agreed to it (JU-28). A version never changes
once evidence refers to it (JU-30): a changed text is a new version, a changed form a new
source. Pictures are kept as content, not as links (JU-25, JU-27).

In: names, texts, file contents. Out: `SourceRecord`, `TextRecord`.
*Fails:* `SourceError`: no such source or version, the name is taken, the version is in use or
lacks what it needs.
"""

from gatepost.consent.attestations import Attestations, Found
from gatepost.store.sources.pictures import add_picture, picture_content
from gatepost.store.sources.reading import (
    as_origin,
    current_text,
    find_source,
    find_text,
    list_sources,
    text_state,
)
from gatepost.store.sources.records import (
    CHANNELS,
    KINDS,
    PictureRecord,
    SourceError,
    SourceRecord,
    Stage,
    TextRecord,
)
from gatepost.store.sources.register import add_source
from gatepost.store.sources.versions import activate, add_text, as_kept, attest, mark_used

__all__ = [
    "CHANNELS",
    "KINDS",
    "Attestations",
    "Found",
    "PictureRecord",
    "SourceError",
    "SourceRecord",
    "Stage",
    "TextRecord",
    "activate",
    "add_picture",
    "add_source",
    "add_text",
    "as_kept",
    "as_origin",
    "attest",
    "current_text",
    "find_source",
    "find_text",
    "list_sources",
    "mark_used",
    "picture_content",
    "text_state",
]
