"""The numbered requirements of the five source documents, in short, and the tests that cite them.

`ITEMS` is the list that docs/requirements.md and the test of completeness go by. A test cites an
item by its number in its docstring: `HS-7`, or `HS-7, HS-8`.
"""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
FOLDER = TESTS / "requirements"
_CITED = re.compile(r"\b(?:HS|JU|WP|SO|HR)-\d+\b")

_HEAD = """\
# Requirements

The rules of consent come from five documents. Each numbered item is listed here with the tests
that cite it; a test keeps the list complete. What no program can see (whether somebody felt free)
is attested, and the test is that the attestation is demanded.
"""
DOCUMENTS = {
    "HS": "HubSpot on opt-in consent",
    "JU": "Juhlsen on lawful consent in Denmark",
    "WP": "Webpower's anti-spam policy",
    "SO": "SuperOffice on managing subscriptions",
    "HR": "HubSpot on re-subscribing",
}
_WORDS = {
    "HS": """
Without verifiable permission nobody gets bulk mail
Personal one-to-one mail needs none
Every basis is implied or express
Express means in writing, by a ticked box, or confirmed by mail
A basis is an act of the recipient; not having opted out is none
A form on the sender's own site is acceptable, as implied consent
A purchase counts for two years
A written agreement counts for two years
A donation or voluntary work counts for two years
A membership counts while the person is active
A newsletter form counts, on paper or on screen
Whoever answered the sender's advertisement counts
Implied consent is flagged, and not blocked
Bought, rented and borrowed lists never count
Lists of members and associations never count
Consent does not follow to another company
A form of another brand never counts
Vendors of contacts and enriched data are no source of addresses
A mail to the sender is no consent
Friends, family and colleagues wait for a consent
Own booth yes, the organiser's list no
An employer's list must be verified first
A merger carries consent over and asks for a confirmation
Word of mouth proves nothing
Role addresses cannot consent
Settings and local law make it stricter only
""",
    "JU": """
Consent comes before the first mail
The text is attested to be voluntary, informed and specific
Withdrawing costs nothing and takes one step
The text itself says that consent can be withdrawn
No purchase or price depends on consent
What is given for consent is not called free
A discount or a lot may thank for consent
The person knew that and to what they agreed
A box ticked beforehand is no consent
Consent inside general terms is none
At a competition consent is as prominent as the prize
The company is named in the text
Consent for other channels is none for e-mail
Consent covers its product categories only
An extension to another channel is a consent of its own
Consent is not extended to other companies
A double opt-in counts from its confirmation
A single opt-in is answered by a welcome mail
There is no reminder to confirm
Who never reacts can be left out
Time, circumstances and what was shown are on record
The evidence can be exported for one address
Evidence is kept until two years after its last use
Erasure spares the evidence until then
A picture shows what was agreed to
Each consent has one source, and all are registered
Pictures are content, never links
Each consent refers to its own version of the text
The history is complete and append-only
What is in use is not changed, but succeeded
Consent is not used outside its scope
""",
    "WP": """
Mail without specific permission is spam, also to organisations
The active consent can be shown on demand
No mail after 18 months without a sign of life
Hidden clauses make no consent
The specific act is recorded
The first questions of a complaint are answered
The questions about collection online are answered
A customer relation needs all three conditions
The real, registered sender is clear
The postal address stands in the mail
There is a way out, free, without login or questions
Bought, rented, borrowed and found lists are refused
Forbidden content can be stopped
A complaint reaches the sender, who can be frozen
A freeze works at once, a campaign can be ended
A responsible sender is on record for every mail
The strictest rules are the ones to start from
""",
    "SO": """
Yes or no is stored for each type of mail
A list for a type holds those who said yes to it
A mailing without a declared type goes nowhere
Each recipient is checked, whatever the list
A report shows who consented
The sender and the type must both be wanted
An override exists, and has its limits
There is no off, only observing
Only administrators switch it
Every mail has an unsubscribe link
The page saves when the person confirms
Whoever was just added can choose
One interest can be left alone
The link to choose by is mailed on demand
Consent is documented before sending
""",
    "HR": """
Who unsubscribed stays away until they come back
One-to-one and transactional mail still passes
An opt-out belongs to the address
Staff needs a legal basis and an explanation
The link of an old mail opens the way back
The form lists what the sender offers
Exactly what is selected becomes subscribed
Staff works singly and in bulk under the same rule
""",
}
ITEMS = {
    f"{prefix}-{number}": words
    for prefix, lines in _WORDS.items()
    for number, words in enumerate(lines.strip().splitlines(), 1)
}


def citing(folder=FOLDER):
    """Item → the tests below `folder` that cite it in their docstring."""
    found = {}
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if not is_test or not node.name.startswith("test_"):
                continue
            for item in dict.fromkeys(_CITED.findall(ast.get_docstring(node) or "")):
                found.setdefault(item, []).append((path.relative_to(TESTS.parent), node.name))
    return found


def requirements_page():
    """The text of docs/requirements.md."""
    tests = citing()
    parts = [_HEAD]
    for prefix, title in DOCUMENTS.items():
        parts.append(f"\n## {title}\n\n| item | in short | tests |\n| --- | --- | --- |\n")
        for item, words in ITEMS.items():
            if item.startswith(prefix):
                parts.append(f"| {item} | {words} | {_links(tests.get(item, []))} |\n")
    return "".join(parts)


def _links(tests):
    return "<br>".join(f"[`{name}`](../{path})" for path, name in tests)
