"""What the pages count, in the process-wide Prometheus registry."""

from prometheus_client import Counter

WITHDRAWALS = Counter(
    "gatepost_withdrawals",
    "Withdrawals by how they were made; the same again does not count.",
    ["method"],
)
RESUBSCRIPTIONS = Counter(
    "gatepost_resubscriptions", "Streams turned on again on the pages, undone withdrawals included."
)
PAGE_VIEWS = Counter(
    "gatepost_page_views",
    "Visits that change nothing, by page and by who seems to look: person, prefetch, program.",
    ["page", "kind"],
)
BAD_LINKS = Counter(
    "gatepost_bad_links",
    "Requests with a token that does not open, by page.",
    ["page"],
)
LETTERS_ASKED = Counter(
    "gatepost_letters_asked",
    "Requests for a link by mail, by page and by what came of them.",
    ["page", "outcome"],
)
TURNED_AWAY = Counter(
    "gatepost_turned_away", "Requests beyond a rate, by rate; a withdrawal never is one.", ["rate"]
)
SIGN_UPS = Counter("gatepost_sign_ups", "Sign-up forms sent, by what came of them.", ["outcome"])
CONFIRMATIONS = Counter("gatepost_confirmations", "Sign-ups confirmed by the link in a mail.")
