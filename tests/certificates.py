"""Certificates for tests: good, except for the fault that a test asks for."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

PrivateKey = (
    ec.EllipticCurvePrivateKey
    | rsa.RSAPrivateKey
    | dsa.DSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
NOW = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)


def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def ec_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its key."""

    key: PrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def fingerprint(self) -> str:
        """The SHA-256 as on the console: AB:CD:..."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def general_name(name: str) -> x509.GeneralName:
    """Return `name` as a DNS name, as an IP address, or, with an @, as an e-mail address."""
    if "@" in name:
        return x509.RFC822Name(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def issue(
    common_name: str = "nb.corp.example",
    *,
    by: Pair | None = None,
    key: PrivateKey | None = None,
    names: tuple[str, ...] = ("nb.corp.example",),
    ca: bool | None = False,
    begin: datetime.timedelta = -HOUR,
    end: datetime.timedelta = 397 * DAY,
    use: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.SERVER_AUTH,
    signs: bool | None = None,
    issuer_url: str | None = None,
    digest: hashes.HashAlgorithm | None = None,
    now: datetime.datetime = NOW,
) -> Pair:
    """Return a certificate for `names`, signed `by` another pair or by its own key.

    `begin` and `end` are relative to `now`. None omits an extension: `ca` the basic constraints, `use` the
    extended key usage, `signs` (digitalSignature) the key usage. Without `names`: no subjectAltName.
    """
    key = key or ec_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begin)
        .not_valid_after(now + end)
    )
    if names:
        alternative = x509.SubjectAlternativeName([general_name(name) for name in names])
        builder = builder.add_extension(alternative, critical=False)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if use is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    if signs is not None:
        others = dict.fromkeys(
            ("content_commitment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
             "encipher_only", "decipher_only"), False,
        )  # fmt: skip
        usage = x509.KeyUsage(digital_signature=signs, key_encipherment=True, **others)
        builder = builder.add_extension(usage, critical=True)
    if issuer_url is not None:
        at = x509.UniformResourceIdentifier(issuer_url)
        access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, at)
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    signer = by.key if by else key
    if isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return Pair(key=key, certificate=builder.sign(signer, None))
    return Pair(key=key, certificate=builder.sign(signer, digest or hashes.SHA256()))  # type: ignore[arg-type]


def authority(
    common_name: str, by: Pair | None = None, *, key: PrivateKey | None = None, now: datetime.datetime = NOW
) -> Pair:
    """Return a root, or an intermediate issued `by` another CA, valid for ten years."""
    return issue(common_name, by=by, key=key, names=(), ca=True, use=None, end=3650 * DAY, now=now)


def corporate(key: PrivateKey) -> tuple[Pair, Pair]:
    """Return a certificate valid from now for ten years, and the intermediate that issued it.

    It names no test machine and no address.
    """
    now = datetime.datetime.now(datetime.UTC)
    intermediate = authority("Corp TLS", authority("Corp Root", key=rsa_key(2048), now=now), now=now)
    names = ("nb.corp.example", "*.lab.corp.example")
    return issue(key=key, by=intermediate, names=names, end=3600 * DAY, use=None, now=now), intermediate
