"""What the pages count, in the process-wide Prometheus registry."""

from prometheus_client import Counter

WITHDRAWALS = Counter(
    "gatepost_withdrawals",
    "Withdrawals answered, by how they were made; repeated ones count, too.",
    ["method"],
)
RESUBSCRIPTIONS = Counter(
    "gatepost_resubscriptions", "Streams turned on again on the preferences page."
)
PAGE_VIEWS = Counter(
    "gatepost_page_views",
    "Pages opened by GET, which changes nothing: people, and scanners that follow links.",
    ["page"],
)
BAD_LINKS = Counter(
    "gatepost_bad_links",
    "Requests with a token that does not open, by page.",
    ["page"],
)
