"""2 · Which stream and which campaign a message belongs to, and whose it claims to be. Pure."""

from gatepost.flow.classify.bulk import Suspicion, fingerprint
from gatepost.flow.classify.campaign import CampaignKey, campaign_key, personal_words
from gatepost.flow.classify.choice import (
    Choice,
    How,
    Refusal,
    Rule,
    bound_stream,
    choose_stream,
    header_names,
    override_reason,
)
from gatepost.flow.classify.identity import Exposure, find_exposure, find_mismatch
from gatepost.flow.classify.traits import Traits, read_traits

__all__ = [
    "CampaignKey",
    "Choice",
    "Exposure",
    "How",
    "Refusal",
    "Rule",
    "Suspicion",
    "Traits",
    "bound_stream",
    "campaign_key",
    "choose_stream",
    "find_exposure",
    "find_mismatch",
    "fingerprint",
    "header_names",
    "override_reason",
    "personal_words",
    "read_traits",
]
