"""Whole documents that carry their own style, shown under a policy of their own.

In: a page of HTML from elsewhere in the house. Out: an answer. The policy names the hash of each
style in the document and allows pictures that are inside it; anything else, and any script, is
refused by the browser whatever the document says.
"""

import base64
import hashlib
import re

from gatepost.web.answer import Answer

_STYLE = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL | re.IGNORECASE)


def document(html: str) -> Answer:
    """The answer that shows `html`."""
    styles = " ".join(f"'sha256-{_hash(style)}'" for style in _STYLE.findall(html)) or "'none'"
    policy = (
        f"default-src 'none'; style-src {styles}; "
        "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    return Answer(200, html, extra=((b"content-security-policy", policy.encode("ascii")),))


def _hash(style: str) -> str:
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
