"""Which campaign a submission belongs to (DESIGN, "Which campaign").

In: traits, client. Out: `CampaignKey`. Submissions of the same client and stream with the same
key are one campaign; without a header of a trusted client, only until six hours of silence,
which the store counts.

*Fails:* never.
*Known limits:* two mailings of one day with the same List-Id are one campaign, unless the
mailer says otherwise by X-Gatepost-Campaign.
"""

import re
from dataclasses import dataclass

from gatepost.flow.classify.traits import CAMPAIGN_HEADER, Traits
from gatepost.mail.client import Client

MAX_NAME_CHARACTERS = 200

_REPLY = re.compile(r"^(?:\s*(?:re|fwd?|sv|vs|aw|wg|tr|antw?)\s*(?:\[\d+\])?\s*:)+", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")
_LETTERS = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True, slots=True)
class CampaignKey:
    """`key` groups submissions, `name` is what people read; `explicit` if the mailer said it."""

    name: str
    key: str
    explicit: bool


def campaign_key(traits: Traits, client: Client) -> CampaignKey:
    """The campaign that `traits` speak of."""
    if client.trust_headers and traits.header(CAMPAIGN_HEADER):
        name = traits.header(CAMPAIGN_HEADER)[:MAX_NAME_CHARACTERS]
        return CampaignKey(name, f"name:{name.casefold()}", explicit=True)
    name = (traits.subject or traits.list_id or "(no subject)")[:MAX_NAME_CHARACTERS]
    if traits.list_id:
        return CampaignKey(name, f"list:{traits.list_id[:MAX_NAME_CHARACTERS]}", explicit=False)
    return CampaignKey(name, f"subject:{_normalised(traits)}", explicit=False)


def personal_words(traits: Traits) -> frozenset[str]:
    """The words, casefolded, by which a copy may be personal: names and addresses shown in To.

    Only for a message that shows one recipient; a list of recipients is not a salutation.
    """
    if len(traits.shown) != 1:
        return frozenset()
    mailbox = traits.shown[0]
    text = f"{mailbox.name} {mailbox.address.local if mailbox.address else ''}"
    return frozenset(word.casefold() for word in _LETTERS.findall(text))


def _normalised(traits: Traits) -> str:
    """The subject without what differs between copies of one mailing."""
    subject = _DIGITS.sub("0", _REPLY.sub("", traits.subject)).casefold()
    personal = personal_words(traits)
    words = subject.split()
    if not personal.isdisjoint(_LETTERS.findall(subject)):
        words = [word for word in words if personal.isdisjoint(_LETTERS.findall(word))]
    return " ".join(words)[:MAX_NAME_CHARACTERS]
