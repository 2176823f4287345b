"""A reader as gullible as can be: whatever any server takes for a line end ends a line here.

CR LF, LF alone and CR alone end commands and lines of content; NUL is dropped; a lone dot on any
such line is the end of data. What this reader takes for one message, every server does.

    reader = Gullible(); reader.feed(octets); reader.messages, reader.commands
"""

import re
from dataclasses import dataclass, field

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass
class Gullible:
    """Reads what a client says; `feed` gives the replies."""

    commands: list = field(default_factory=list)
    messages: list = field(default_factory=list)
    held: bytes = b""
    lines: list | None = None  # of the message that comes in

    def feed(self, octets):
        self.held += octets
        replies = []
        while end := _LINE_END.search(self.held):
            if end[0] == b"\r" and end.end() == len(self.held):
                break  # perhaps its LF is still to come
            line, self.held = self.held[: end.start()].replace(b"\0", b""), self.held[end.end() :]
            replies.append(self._content(line) if self.lines is not None else self._command(line))
        return b"".join(replies)

    def _content(self, line):
        if line != b".":
            self.lines.append(line.removeprefix(b"."))
            return b""
        self.messages.append(b"\n".join(self.lines))
        self.lines = None
        return b"250 2.0.0 taken\r\n"

    def _command(self, line):
        self.commands.append(line)
        verb = line[:4].upper()
        if verb == b"DATA":
            self.lines = []
            return b"354 go ahead\r\n"
        if verb == b"EHLO":
            return b"250-gullible.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
        if verb in {b"MAIL", b"RCPT", b"RSET", b"NOOP"}:
            return b"250 2.0.0 ok\r\n"
        return b"221 2.0.0 bye\r\n" if verb == b"QUIT" else b"500 5.5.2 what?\r\n"
