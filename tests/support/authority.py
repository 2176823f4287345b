"""An authority made on the spot, and the certificates that it signs: for both ends of a line."""

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from support.certificates import alternative_name


class Authority:
    """Signs for whoever asks. Its own certificate is `folder/NAME.pem`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        mine = _draft(self._name, self._key, 30).issuer_name(self._name)
        mine = mine.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.certificate = folder / f"{name}.pem"
        self._write(self.certificate, mine)

    def sign(self, subject: str, *names: str, days: int = 30, file: str = "") -> tuple[Path, Path]:
        """A certificate and its key, as PEM files: for host `names`, or for a user `subject`.

        Negative `days` give one that has expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        draft = _draft(_named(subject), key, days).issuer_name(self._name)
        if names:
            places = x509.SubjectAlternativeName([alternative_name(name) for name in names])
            draft = draft.add_extension(places, critical=False)
        certificate = self._folder / f"{file or subject}.pem"
        self._write(certificate, draft)
        private = certificate.with_suffix(".key")
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        private.chmod(0o600)
        return certificate, private

    def _write(self, path: Path, draft: x509.CertificateBuilder) -> None:
        path.write_bytes(draft.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _draft(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=60))
        .not_valid_after(now + dt.timedelta(days=days))
    )
