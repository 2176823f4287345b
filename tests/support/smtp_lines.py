"""A plain blocking SMTP client that says exactly what it is told, for tests of the program."""

import socket

from support.patience import PATIENCE_SECONDS


class Lines:
    """One connection; the greeting is read."""

    def __init__(self, port, source="127.0.0.1", seconds=PATIENCE_SECONDS):
        self._socket = socket.create_connection(
            ("127.0.0.1", port), timeout=seconds, source_address=(source, 0)
        )
        self._file = self._socket.makefile("rb")
        self.greeting = self.hear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        self._socket.close()

    def say(self, line):
        self._socket.sendall(line.encode() + b"\r\n")

    def send_raw(self, octets):
        self._socket.sendall(octets)

    def send_content(self, content):
        content = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
        self._socket.sendall(stuffed + (b"" if stuffed.endswith(b"\r\n") else b"\r\n") + b".\r\n")

    def hear(self):
        """One reply; several lines are joined by LF."""
        lines = []
        while True:
            line = self._file.readline().decode()
            if not line:
                raise AssertionError("the server closed the connection")
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)
