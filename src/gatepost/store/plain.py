"""Text that a database takes: PostgreSQL refuses NUL, and neither engine takes lone surrogates.

What comes from the wire (a subject, an EHLO name, a reply) may contain both.
"""


def plain(text: str) -> str:
    """`text` with NUL and lone surrogates replaced by U+FFFD; nearly always `text` itself."""
    if text.isascii():
        return text.replace("\0", "\ufffd") if "\0" in text else text
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
