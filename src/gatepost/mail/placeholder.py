"""Placeholders that mailers write where a recipient's links or the sender's identity belong.

Our own are `{{unsubscribe_url}}`, `{{preferences_url}}` and `{{sender_identity}}`; those of
other systems can be made to mean the same (`FOREIGN`), so that templates move as they are.

*Fails:* never.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

UNSUBSCRIBE, PREFERENCES, IDENTITY = MEANINGS = (
    "unsubscribe_url", "preferences_url", "sender_identity",
)  # fmt: skip
Spellings = tuple[tuple[str, str], ...]  # (spelling, meaning)

# What each system documents for its templates. Tags that become a whole link are not here.
FOREIGN: Mapping[str, Mapping[str, Sequence[str]]] = MappingProxyType({
    "mailchimp": {
        UNSUBSCRIBE: ("*|UNSUB|*",),
        PREFERENCES: ("*|UPDATE_PROFILE|*",),
        IDENTITY: ("*|LIST:ADDRESS|*", "*|LIST:ADDRESSLINE|*", "*|HTML:LIST_ADDRESS_HTML|*"),
    },
    "sendgrid": {
        UNSUBSCRIBE: (
            "<%asm_group_unsubscribe_raw_url%>", "<%asm_global_unsubscribe_raw_url%>",
            "{{{unsubscribe}}}", "[unsubscribe]",
        ),
        PREFERENCES: (
            "<%asm_preferences_raw_url%>", "{{{unsubscribe_preferences}}}",
            "[unsubscribe_preferences]",
        ),
    },
    "postmark": {UNSUBSCRIBE: ("{{{ pm:unsubscribe }}}", "{{{ pm:unsubscribe_url }}}")},
    "mailgun": {
        UNSUBSCRIBE: (
            "%unsubscribe_url%", "%tag_unsubscribe_url%", "%mailing_list_unsubscribe_url%",
        ),
    },
    "ses": {UNSUBSCRIBE: ("{{amazonSESUnsubscribeUrl}}",)},
    "listmonk": {UNSUBSCRIBE: ("{{ UnsubscribeURL }}",), PREFERENCES: ("{{ ManageURL }}",)},
})  # fmt: skip


def is_spelling(text: str) -> bool:
    """Whether `text` can be a placeholder: a word between signs, so that prose is none."""
    return bool(re.fullmatch(r"[^\sA-Za-z0-9_][ -~]{2,98}[^\sA-Za-z0-9_]", text)) and bool(
        re.search(r"[A-Za-z]{2}", text)
    )
