"""Caddy and nginx from Debian's packages, each with the blocks of the guide, on loopback.

    with Caddy(folder, gatepost_port) as front:
        front.ask("GET", "https://news.example.org/u/…", source="127.0.0.7")

Only ports, paths and certificates are put in place of the guide's own; the certificate is one
made on the spot, for all of the guide's names.
"""

import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from support.certificates import make_certificate
from support.documents import TOP, in_section
from support.patience import PATIENCE_SECONDS
from support.ports import free_port

GUIDE = TOP / "docs" / "guides" / "https.md"
HOSTS = ("news.example.org", "post.example.com", "www.example.org")
PROXY = "127.0.0.1"  # from where the proxy asks Gatepost
VISITOR = "127.0.0.7"  # from where we ask the proxy


@dataclass(frozen=True)
class Reply:
    """What came back; names of headers are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self):
        return self.body.decode()


class Front:
    """A proxy as a process of its own; a context manager that starts and stops it."""

    def __init__(self, folder, gatepost_port):
        self.folder = folder
        self.port, self.plain_port = free_port(), free_port()
        self.gatepost_port = gatepost_port
        self.certificate, self.key = make_certificate(folder, *HOSTS)
        self.log_file = folder / "front.log"
        self._process = None

    def __enter__(self):
        command = self.prepare()
        home = self.folder / "home"
        home.mkdir()
        names = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder,
                env=os.environ | dict.fromkeys(names, str(home)),
            )  # fmt: skip
        for _ in range(1200):
            assert self._process.poll() is None, self.log()
            with socket.socket() as probe:
                if probe.connect_ex((PROXY, self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise AssertionError(f"the proxy does not listen:\n{self.log()}")

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)

    def prepare(self):
        """Writes the configuration; the command that runs it in the foreground."""
        raise NotImplementedError

    def log(self):
        """Everything that the proxy has written anywhere."""
        return "".join(
            path.read_text(errors="replace")
            for path in sorted(self.folder.rglob("*.log"))
            if path.is_file()
        )

    @contextmanager
    def connection(self, host, *, source=VISITOR):
        """A TLS connection to the proxy, as `host`; a plain one for "" ."""
        port = self.port if host else self.plain_port
        with socket.create_connection(
            (PROXY, port), PATIENCE_SECONDS, source_address=(source, 0)
        ) as plain:
            if not host:
                yield plain
                return
            context = ssl.create_default_context(cafile=self.certificate)
            with context.wrap_socket(plain, server_hostname=host) as wrapped:
                yield wrapped

    def ask(self, method, url, body=None, headers=None, *, source=VISITOR):
        """One request with HTTP/1.1."""
        parts = urlsplit(url)
        with self.connection(parts.hostname if parts.scheme == "https" else "", source=source) as s:
            connection = http.client.HTTPConnection(parts.hostname)
            connection.sock = s
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())

    def say(self, host, request, *, source=VISITOR):
        """Raw octets on one connection; everything that comes back until the proxy closes it."""
        with self.connection(host, source=source) as wire:
            wire.sendall(request)
            return b"".join(iter(lambda: wire.recv(65536), b""))

    def curl(self, url, *options, source=VISITOR):
        """What curl says of one request with HTTP/2: version and status."""
        parts = urlsplit(url)
        outcome = subprocess.run(
            ["curl", "--silent", "--show-error", "--http2", "--cacert", self.certificate,
             "--connect-to", f"{parts.hostname}:443:{PROXY}:{self.port}", "--interface", source,
             "--output", os.devnull, "--write-out", "%{http_version} %{http_code}", *options, url],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout


class Caddy(Front):
    """Debian's caddy."""

    def prepare(self):
        options = f"\n    admin off\n    http_port {self.plain_port}\n    https_port {self.port}\n"
        (main,) = in_section(GUIDE, "Caddy", "text")
        (below,) = in_section(GUIDE, "Caddy, under a path", "text")
        text = main.replace("{", "{" + options, 1) + below
        text = text.replace("127.0.0.1:8025", f"127.0.0.1:{self.gatepost_port}")
        text = text.replace("/var/www/html", str(self.folder))
        tls = f"    tls {self.certificate} {self.key}\n"
        text, sites = re.subn(r"(?m)^(?:\S+\.example\.\w+,? ?)+\{\n", rf"\g<0>{tls}", text)
        assert sites == 2
        path = self.folder / "Caddyfile"
        path.write_text(text)
        return [_program("caddy"), "run", "--adapter", "caddyfile", "--config", path]


class Nginx(Front):
    """Debian's nginx-light."""

    def prepare(self):
        blocks = in_section(GUIDE, "nginx", "nginx")
        blocks += in_section(GUIDE, "nginx, under a path", "nginx")
        wanted = {
            r"127\.0\.0\.1:8025": f"127.0.0.1:{self.gatepost_port}",
            r"listen \[::\]:\d+.*\n": "\n",
            r"listen 443": f"listen 127.0.0.1:{self.port}",
            r"listen 80": f"listen 127.0.0.1:{self.plain_port}",
            r"/etc/letsencrypt/live/[\w.]+/fullchain\.pem": str(self.certificate),
            r"/etc/letsencrypt/live/[\w.]+/privkey\.pem": str(self.key),
            r"/var/(?:log/nginx|www/html)": str(self.folder),
        }
        for block in blocks:
            name = block.partition("\n")[0].lstrip("# ")
            for old, new in wanted.items():
                block = re.sub(old, new, block)
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(block)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        (self.folder / "nginx.conf").write_text(
            "daemon off;\nuser root;\nworker_processes 1;\npid nginx.pid;\n"
            "events { worker_connections 256; }\nhttp {\n"
            f"access_log {self.folder}/access.log;\n"
            + "".join(f"{kind}_temp_path temp-{kind};\n" for kind in kinds)
            + "include conf.d/*.conf;\n}\n"
        )
        error_log = self.folder / "error.log"
        return [_program("nginx"), "-p", self.folder, "-c", "nginx.conf", "-e", error_log]


def _program(name):
    """Where it is: Debian has some outside the PATH of ordinary users."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    assert path, f"this test needs Debian's package of {name}"
    return path
