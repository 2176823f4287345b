"""What came and lies decrypted inside OpenSSL is read, though the socket says nothing any more."""

import os
import subprocess
import sys

import pytest

from support.certificates import make_certificate
from support.patience import PATIENCE_SECONDS
from support.tls_front import TlsFront

# Seven rows fill three records to the brim: libpq takes the last one in two parts.
ASK = """
import sys
from gatepost.store.postgresql import connect
from gatepost.store.wire import Wire
many = "SELECT repeat('x', 7000) FROM generate_series(1, %s)"
for rows in (7, 14, 21, 28):
    with connect(sys.argv[1], {}) as driver:
        found = (driver.execute(many.replace("%s", str(rows))).fetchall()
                 if sys.argv[2] == "driver" else Wire(driver).execute(many, (rows,)).fetchall())
        assert [len(row[0]) for row in found] == [7000] * rows
        print(driver.pgconn.ssl_in_use)
"""


@pytest.mark.parametrize("way", ["driver", "wire"])
def test_an_answer_in_large_records_is_read_to_its_end(postgres_server, tmp_path, way):
    """With the system's libpq: the one that the driver brings along may look there by itself."""
    certificate, key = make_certificate(tmp_path, "127.0.0.1")
    with TlsFront(postgres_server.port, certificate, key) as front:
        url = postgres_server.url("postgres").replace(str(postgres_server.port), str(front.port))
        asked = subprocess.run(
            [
                sys.executable,
                "-c",
                ASK,
                f"{url}?sslmode=verify-full&sslrootcert={certificate}",
                way,
            ],
            env=os.environ | {"PSYCOPG_IMPL": "python"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    assert asked.stdout.split() == ["True"] * 4, asked.stderr
