"""Who signs generated media: a key and its certificate chain, the user's own or one made on this machine.

The self-made chain proves that a picture left this machine unchanged, not who runs it. Its root key is thrown away once the
leaf is signed; the leaf's key never leaves the state folder.
"""

import datetime as dt
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from flywheel.errors import BadData, require
from flywheel.state import state_dir
from flywheel.types import Frozen

KEY, CHAIN = "FLYWHEEL_C2PA_KEY", "FLYWHEEL_C2PA_CHAIN"
FOLDER, ORGANISATION = "c2pa", "scenario-flywheel, self-made test chain"
NOT_BEFORE, NOT_AFTER = dt.datetime(2026, 1, 1), dt.datetime(2046, 1, 1)


class Identity(Frozen):
    """PEM texts: the certificate chain, leaf first, and where the leaf's key lies. `anchors` is what to trust on reading."""

    chain: str
    anchors: str
    key_file: str

    def key(self) -> str:
        """The private key in PEM; BadData if it is gone."""
        try:
            return Path(self.key_file).read_text()
        except OSError as err:
            raise BadData(f"the key that signs generated media cannot be read: {err}. Remove its folder to have a new one made.") from err


def identity_of(root: str) -> Identity:
    """Who signs for a root: the user's key and chain (FLYWHEEL_C2PA_KEY, FLYWHEEL_C2PA_CHAIN: PEM files), else a self-made one."""
    key, chain = os.environ.get(KEY), os.environ.get(CHAIN)
    if bool(key) != bool(chain):
        raise BadData(f"set both {KEY} (private key, PEM) and {CHAIN} (certificates, leaf first, PEM), or neither")
    if key and chain:
        return _given(Path(key), Path(chain))
    return self_made(state_dir(root) / FOLDER)


def _given(key: Path, chain: Path) -> Identity:
    try:
        text = chain.read_text()
    except OSError as err:
        raise BadData(f"{CHAIN}={chain} cannot be read: {err}") from err
    last = text[text.rfind("-----BEGIN CERTIFICATE-----") :]
    return Identity(chain=text, anchors=last, key_file=str(key))


def self_made(folder: Path) -> Identity:
    """The chain kept in a folder, made there if it is not; the first of several processes wins."""
    key, chain = folder / "leaf.key.pem", folder / "chain.pem"
    if not chain.is_file():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        made_key, made_chain = _fresh_chain()
        try:
            with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(made_key)
            unfinished = folder / "chain.pem.tmp"
            unfinished.write_bytes(made_chain)
            unfinished.rename(chain)
        except FileExistsError:
            _wait_for(chain)
    return _given(key, chain)


def _wait_for(chain: Path, *, seconds: float = 10.0) -> None:
    """Returns once another process has written the chain; BadData if it does not."""
    import time

    for _ in range(round(seconds / 0.05)):
        if chain.is_file():
            return
        time.sleep(0.05)
    raise BadData(f"{chain.parent} holds a key without its chain: its making was cut short. Remove the folder and run again.")


def _fresh_chain() -> tuple[bytes, bytes]:
    """A leaf's private key, and leaf and root certificates: Ed25519, for signing media alone (C2PA 2.1, 14.5.1)."""
    ed25519 = require("cryptography.hazmat.primitives.asymmetric.ed25519", extra="generate")
    pem = require("cryptography.hazmat.primitives.serialization", extra="generate")
    root_key, leaf_key = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    root = _certificate("root", root_key, issuer="root", issuer_key=root_key, authority=True)
    leaf = _certificate("signer", leaf_key, issuer="root", issuer_key=root_key, authority=False)
    kept = leaf_key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
    return kept, leaf.public_bytes(pem.Encoding.PEM) + root.public_bytes(pem.Encoding.PEM)


def _certificate(name: str, key: Any, *, issuer: str, issuer_key: Any, authority: bool) -> Any:
    x509 = require("cryptography.x509", extra="generate")
    use = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
    )
    builder = (
        x509.CertificateBuilder().subject_name(_name(name)).issuer_name(_name(issuer)).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(NOT_BEFORE).not_valid_after(NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, **use), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )  # fmt: skip
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuer_key, None)


def _name(common: str) -> Any:
    x509 = require("cryptography.x509", extra="generate")
    fields = ((x509.NameOID.ORGANIZATION_NAME, ORGANISATION), (x509.NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in fields])


@lru_cache(maxsize=8)
def algorithm(key_pem: str) -> str:
    """The C2PA name of the algorithm that a private key signs with; BadData for one that C2PA does not know."""
    load = require("cryptography.hazmat.primitives.serialization", extra="generate").load_pem_private_key
    try:
        key = load(key_pem.encode(), None)
    except (ValueError, TypeError) as err:
        raise BadData(f"the private key is no unencrypted PEM key: {err}") from err
    kind = type(key).__name__.lower()
    if "ed25519" in kind:
        return "ed25519"
    if "rsa" in kind:
        return "ps256"
    found = {256: "es256", 384: "es384", 521: "es512"}.get(getattr(key, "key_size", 0))
    if found is None or not hasattr(key, "curve"):
        raise BadData(f"C2PA knows no signatures by a {type(key).__name__}; use Ed25519, ECDSA (P-256, P-384, P-521) or RSA")
    return found
