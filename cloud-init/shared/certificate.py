"""Make and renew the machine's own certificate.

EC P-256, every name and address of the machine in subjectAltName, CA:FALSE, serverAuth, 397 days
(browsers refuse more than 398). Renewed 30 days before it expires, or when it lacks a name or an
address of the machine; a name that is no longer used is no reason. The server reads the files at each
new connection, so a new certificate is served without a restart.
"""

import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=397)
RENEW_BEFORE = datetime.timedelta(days=30)


def general_names(names):
    """Return `names` (DNS names and addresses as text) as x509 general names, sorted, without duplicates."""
    general = []
    for name in sorted(set(names)):
        try:
            general.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            general.append(x509.DNSName(name))
    return general


def make(names, now):
    """Return a new key and certificate (PEM bytes) for `names`; `now` is an aware datetime."""
    key = ec.generate_private_key(ec.SECP256R1())
    common = next((name for name in names if len(name) <= 64), "notebake")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # An hour ago: a client's clock may be slow.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now - datetime.timedelta(hours=1) + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(general_names(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        # digital_signature and no other
        .add_extension(x509.KeyUsage(True, *[False] * 8), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return (
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        certificate.public_bytes(serialization.Encoding.PEM),
    )


def matches(key_pem, certificate_pem):
    """Return whether the private key matches the (first) certificate. ValueError for broken PEM."""
    key = serialization.load_pem_private_key(key_pem, None)
    return key.public_key() == x509.load_pem_x509_certificate(certificate_pem).public_key()


def reason_to_renew(folder, names, now):
    """Return why the certificate in `folder` must be replaced; None if it is good."""
    try:
        pem = (folder / "cert.pem").read_bytes()
        certificate = x509.load_pem_x509_certificate(pem)
        if not matches((folder / "key.pem").read_bytes(), pem):
            return "key and certificate do not match"
        has = set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except FileNotFoundError:
        return "no certificate yet"
    except (ValueError, TypeError, x509.ExtensionNotFound) as error:
        return f"it cannot be read: {error}"
    if certificate.not_valid_before_utc > now:
        return "it is not valid yet"
    if certificate.not_valid_after_utc - now < RENEW_BEFORE:
        return "it expires soon"
    missing = [name.value for name in general_names(names) if name not in has]
    return f"it does not name {', '.join(map(str, missing))}" if missing else None


def store(folder, key_pem, certificate_pem, protect):
    """Write key and certificate. After a power loss between the two, `ensure` replaces both."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    for name, data, mode in (("key.pem", key_pem, 0o600), ("cert.pem", certificate_pem, 0o644)):
        new = folder / f"{name}.new"
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        protect(new)
    (folder / "key.pem.new").replace(folder / "key.pem")
    (folder / "cert.pem.new").replace(folder / "cert.pem")


def fingerprint(certificate_pem):
    """Return the SHA-256 of the first certificate (DER), as browsers and OpenSSL show it: AB:CD:..."""
    return x509.load_pem_x509_certificate(certificate_pem).fingerprint(hashes.SHA256()).hex(":").upper()


def ensure(folder: Path, names, now, protect):
    """Keep or replace the pair in `folder`. Return the fingerprint, and why it was replaced or None.

    `protect(path)` is called for each new file before it gets its final name.
    """
    reason = reason_to_renew(folder, names, now)
    if reason:
        store(folder, *make(names, now), protect)
    return fingerprint((folder / "cert.pem").read_bytes()), reason
