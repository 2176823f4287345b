"""A private PostgreSQL as others run one for us: over TLS alone, with passwords.

with SecuredServer.start(find_binaries()) as server:   # `support.postgres` says the rest
    server.database()                  # its URL: verify-full, a password
    server.url("name", user="certified", ...)
    server.show(*server.authority.sign("other", "127.0.0.1"))   # another certificate from now on

`gatepost` logs in with `server.password` (scram-sha-256), `certified` with a certificate.
Without TLS nobody is let in, but through the socket in its folder.
"""

import os
import pwd
import shutil
from pathlib import Path
from urllib.parse import quote, urlencode

from support.authority import Authority
from support.postgres import Server

_ACCESS = """\
local    all  all                     trust
hostssl  all  certified  127.0.0.1/32  cert
hostssl  all  gatepost   127.0.0.1/32  scram-sha-256
host     all  all        all           reject
"""
PASSWORD = "kept%20secret-7c41"  # as it stands in a URL; what it means has a blank in it


class SecuredServer(Server):
    """A `Server` behind TLS."""

    def __init__(self, binaries, settings=()):
        super().__init__(binaries, settings)
        self.authority = Authority(self.folder)
        names = {"cert": "shown.pem", "key": "shown.key", "ca": "authority.pem"}
        self._settings = (
            "ssl=on", "password_encryption=scram-sha-256",
            *(f"ssl_{kind}_file={self.folder / name}" for kind, name in names.items()), *settings,
        )  # fmt: skip
        self._lay_out(*self.authority.sign("server", "127.0.0.1"))

    def up(self):
        access = Path(self.data, "pg_hba.conf")
        new = access.read_text() != _ACCESS
        access.write_text(_ACCESS)
        super().up()
        if new:
            self._execute("CREATE ROLE certified LOGIN SUPERUSER")
            self._execute(f"ALTER ROLE gatepost PASSWORD '{PASSWORD.replace('%20', ' ')}'")

    def show(self, certificate, key):
        """Shows another certificate to whoever connects from now on."""
        self._lay_out(certificate, key)
        self.run("pg_ctl", "-D", self.data, "reload")

    def url(self, name, *, user=f"gatepost:{PASSWORD}", port=None, host="127.0.0.1", **more):
        """Where a database is. `more` are libpq's parameters, `None` for those to be left out."""
        given = {"sslmode": "verify-full", "sslrootcert": self.authority.certificate} | more
        query = urlencode({k: v for k, v in given.items() if v is not None}, quote_via=quote)
        return f"postgresql://{user}@{host}:{port or self.port}/{name}?{query}"

    def admin_url(self, name):
        return f"postgresql://gatepost@/{name}?host={self.folder}&port={self.port}"

    def _lay_out(self, certificate, key):
        for source, name in ((certificate, "shown.pem"), (key, "shown.key")):
            there = self.folder / name
            shutil.copyfile(source, there)
            there.chmod(0o600)
            if self._as_other_user:
                owner = pwd.getpwnam("postgres")
                os.chown(there, owner.pw_uid, owner.pw_gid)
        self.folder.chmod(0o755)  # the authority's certificate is for everybody
        self.authority.certificate.chmod(0o644)
