"""The authorities of one control plane and the certificates that they sign.

A client is who its certificate says: the common name is the user, the organisations are the groups
(https://kubernetes.io/docs/setup/best-practices/certificates/).
"""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# A machine whose clock is a little behind still trusts what was signed just now.
_BEFORE = datetime.timedelta(hours=1)
_VALID = datetime.timedelta(days=2)


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """A private key and what goes with it, in PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates; its own key never leaves the process."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self._certificate = (
            _builder(self._name, issuer=self._name, key=self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )

    @property
    def certificate(self) -> bytes:
        """What a client or a server trusts, in PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def client(self, user: str, *, groups: Sequence[str] = ()) -> KeyPair:
        """Sign who a client is."""
        return self._signed(_named(user, *groups), usages=[ExtendedKeyUsageOID.CLIENT_AUTH])

    def server(self, name: str, *, hosts: Sequence[str]) -> KeyPair:
        """Sign where a server is: each host is a DNS name or an address."""
        return self._signed(_named(name), usages=[ExtendedKeyUsageOID.SERVER_AUTH], hosts=hosts)

    def member(self, name: str, *, hosts: Sequence[str]) -> KeyPair:
        """Sign a server that is a client of its own kind, as etcd is of itself."""
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._signed(_named(name), usages=usages, hosts=hosts)

    def _signed(
        self,
        name: x509.Name,
        *,
        usages: Sequence[x509.ObjectIdentifier],
        hosts: Sequence[str] = (),
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(name, issuer=self._name, key=key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if hosts:
            names = x509.SubjectAlternativeName([_host(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return KeyPair(
            certificate=certificate.public_bytes(serialization.Encoding.PEM), key=_pem(key)
        )


def signing_key() -> tuple[bytes, bytes]:
    """Return a private and a public key in PEM: ServiceAccount tokens are signed with them."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return _pem(key), public


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _named(name: str, *organisations: str) -> x509.Name:
    return x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organisations),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    name: x509.Name, *, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _VALID)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
