"""Signing keys: one ed25519 key a role in a private folder outside the root. Only the signing machine has them."""

import os
from pathlib import Path
from typing import Any

from flywheel.errors import BadData, require
from flywheel.store import Store

ROOT_KEYS, ROOT_THRESHOLD = ("root-1", "root-2", "root-3"), 2
ONLINE_ROLES = ("targets", "snapshot", "timestamp")
TRUST = "root.json"


class KeyFolder:
    """The signers of a release, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().resolve()

    @property
    def trust(self) -> Path:
        """The public root.json that vehicles are provisioned with."""
        return self.folder / TRUST

    def exists(self) -> bool:
        """Whether the release keys were made already."""
        return all((self.folder / f"{name}.pem").is_file() for name in ONLINE_ROLES)

    def create(self, store: Store) -> None:
        """Makes the keys that are missing; BadData if the folder would lie inside the root."""
        if "://" not in store.uri and self.folder.is_relative_to(Path(store.uri).resolve()):
            raise BadData(f"signing keys must not lie in the root: {self.folder} is inside {store.uri}")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.folder / ".gitignore").write_text("*\n")
        for name in (*ROOT_KEYS, *ONLINE_ROLES):
            self._make(name)

    def signer(self, name: str, *, create: bool = False) -> Any:
        """The signer of a role; BadData if its key is missing and may not be made."""
        if create:
            self._make(name)
        file = self.folder / f"{name}.pem"
        if not file.is_file():
            raise BadData(f"no signing key {file}. Point --keys (or FLYWHEEL_STATE) at the folder with this root's release keys.")
        if file.stat().st_mode & 0o077:
            raise BadData(f"signing key {file} can be read by others: run chmod 600 {file}")
        signer = require("securesystemslib.signer", extra="release")
        serialization = require("cryptography.hazmat.primitives.serialization", extra="release")
        return signer.CryptoSigner(serialization.load_pem_private_key(file.read_bytes(), None))

    def _make(self, name: str) -> None:
        file = self.folder / f"{name}.pem"
        if file.exists():
            return
        signer = require("securesystemslib.signer", extra="release")
        beside = self.folder / f".{name}.{os.getpid()}.tmp"
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(signer.CryptoSigner.generate_ed25519().private_bytes)
            out.flush()
            os.fsync(out.fileno())
        beside.replace(file)
