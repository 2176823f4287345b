"""An SMTP reply: basic code, enhanced status code (RFC 3463) and text."""

import re
from dataclasses import dataclass

# An enhanced code of another class than the basic code is part of the text (R5321-19).
_SPELLED = re.compile(r"(([2-5])\d\d) (?:(\2\.\d{1,3}\.\d{1,3}) )?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply; `enhanced` is "" where a reply carries none (greeting, EHLO, 3yz).

    `text` may hold several lines, separated by LF; CR and NUL never occur in it.
    """

    code: int
    enhanced: str
    text: str

    @property
    def positive(self) -> bool:
        """2yz."""
        return 200 <= self.code < 300

    @property
    def temporary(self) -> bool:
        """4yz: try again."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """5yz: do not try the same again."""
        return 500 <= self.code < 600

    def encode(self) -> bytes:
        """The reply on the wire, each line with the enhanced code (RFC 2034 §4)."""
        prefix = f"{self.enhanced} " if self.enhanced else ""
        lines = self.text.split("\n")
        out = [f"{self.code}-{prefix}{line}\r\n" for line in lines[:-1]]
        out.append(f"{self.code} {prefix}{lines[-1]}\r\n")
        return "".join(out).encode("utf-8", "replace")

    def __str__(self) -> str:
        """The reply on one line, for logs and reports."""
        return " ".join(f"{self.code} {self.enhanced} {self.text}".split())


def parse_reply(text: str) -> Reply | None:
    """The reply that `str` made `text` from; `None` if it is none."""
    match = _SPELLED.fullmatch(text)
    if match is None:
        return None
    return Reply(int(match.group(1)), match.group(3) or "", match.group(4))
