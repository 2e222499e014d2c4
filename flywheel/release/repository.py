"""The TUF repository of a root at `ota/`: what is committed in it, and how a change is committed.

Order: targets, delegated roles, targets role, snapshot, and last the timestamp, which is the commit. Versioned metadata is
never overwritten: a version that a killed run left behind is skipped.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from flywheel.errors import BadData, BadTransport, require
from flywheel.release.keys import ONLINE_ROLES, ROOT_KEYS, ROOT_THRESHOLD, KeyFolder
from flywheel.store import Store
from flywheel.types import sha256_hex

METADATA, TARGETS = "ota/metadata", "ota/targets"
LIFETIME = {"root": timedelta(days=365), "targets": timedelta(days=180), "snapshot": timedelta(days=30), "timestamp": timedelta(days=7)}


def utc_now() -> datetime:
    """The time in UTC without microseconds, as TUF wants it."""
    return datetime.now(UTC).replace(microsecond=0)


class Repository:
    """Committed metadata, read through the timestamp, and the signers to change it."""

    def __init__(self, store: Store, keys: KeyFolder, *, now: datetime | None = None) -> None:
        self.store, self.keys, self.now = store, keys, now or utc_now()
        self.api: Any = require("tuf.api.metadata", extra="release")

    def exists(self) -> bool:
        """Whether anything was ever committed."""
        return self.store.exists(f"{METADATA}/timestamp.json")

    def open(self) -> None:
        """Makes keys and a root for an empty repository; otherwise checks that these are its keys."""
        roots = self._versions("root")
        if not roots:
            self.keys.create(self.store)
            self._put_root()
            return
        if not self.keys.exists():
            raise BadData(f"{self.store.uri} has release metadata, but {self.keys.folder} has no keys. Use the keys it was signed with.")
        root = self._load(f"{max(roots)}.root").signed
        for role in ONLINE_ROLES:
            if self.keys.signer(role).public_key.keyid not in root.roles[role].keyids:
                raise BadData(f"{self.store.uri} was signed with other keys: {self.keys.folder}/{role}.pem is not in its root metadata")
        if not self.keys.trust.exists():
            self.keys.trust.write_bytes(self.store.get(f"{METADATA}/{max(roots)}.root.json"))

    def role(self, name: str) -> Any | None:
        """The committed signed part of a role's metadata; None if there is none."""
        if not self.exists():
            return None
        if name == "timestamp":
            return self._load("timestamp").signed
        snapshot_version = self._load("timestamp").signed.snapshot_meta.version
        snapshot = self._load(f"{snapshot_version}.snapshot").signed
        if name == "snapshot":
            return snapshot
        held = snapshot.meta.get(f"{name}.json")
        return self._load(f"{held.version}.{name}").signed if held else None

    def target(self, path: str) -> bytes | None:
        """A committed target's bytes; None if there is none."""
        group = self.role(checked_group(path.split("/")[0]))
        if group is None or path not in group.targets:
            return None
        return self.store.get(target_key(path, group.targets[path].hashes["sha256"]))

    def commit(self, group: str, files: dict[str, bytes]) -> None:
        """Adds or replaces targets `<group>/<name>`, signs what changed, and commits with a new timestamp."""
        held, signer = self.role(group), self._group_signer(group)
        signed = held or self.api.Targets(expires=self.now)
        for name, data in files.items():
            path = f"{group}/{name}"
            self.store.put(target_key(path, sha256_hex(data)), data)
            signed.targets[path] = self.api.TargetFile.from_data(path, data, ["sha256"])
        changed = {group: self._put(group, signed, signer, lifetime="targets")}
        if held is None:
            changed["targets"] = self._delegate(group, signer)
        self._commit(changed)

    def refresh(self) -> int:
        """Signs the timestamp again, and whatever else has used half its lifetime; gives the timestamp's version."""
        changed: dict[str, int] = {}
        targets = self.role("targets")
        if targets is None:
            raise BadData(f"{self.store.uri} has no release to refresh. Run `flywheel release` first.")
        for group in targets.delegations.roles if targets.delegations else ():
            signed = self.role(group)
            if signed is not None and self._ageing(signed, "targets"):
                changed[group] = self._put(group, signed, self.keys.signer(group), lifetime="targets")
        if self._ageing(targets, "targets"):
            changed["targets"] = self._put("targets", targets, self.keys.signer("targets"))
        snapshot = self.role("snapshot")
        if not changed and snapshot is not None and not self._ageing(snapshot, "snapshot"):
            return self._stamp(snapshot.version)
        return self._commit(changed)

    def _group_signer(self, group: str) -> Any:
        targets = self.role("targets")
        known = targets.delegations.roles if targets is not None and targets.delegations else {}
        signer = self.keys.signer(group, create=group not in known)
        if group in known and signer.public_key.keyid not in known[group].keyids:
            raise BadData(f"{self.store.uri}: group {group} was signed with another key than {self.keys.folder}/{group}.pem")
        return signer

    def _ageing(self, signed: Any, role: str) -> bool:
        return bool(signed.expires - self.now < LIFETIME[role] / 2)

    def _delegate(self, group: str, signer: Any) -> int:
        targets = self.role("targets") or self.api.Targets(expires=self.now)
        if targets.delegations is None:
            targets.delegations = self.api.Delegations({}, roles={})
        delegated = self.api.DelegatedRole(group, [], 1, terminating=True, paths=[f"{group}/*"])
        targets.delegations.roles[group] = delegated
        targets.add_key(signer.public_key, group)
        return self._put("targets", targets, self.keys.signer("targets"))

    def _commit(self, changed: dict[str, int]) -> int:
        snapshot = self.role("snapshot") or self.api.Snapshot(expires=self.now)
        for role, version in changed.items():
            snapshot.meta[f"{role}.json"] = self.api.MetaFile(version=version)
        return self._stamp(self._put("snapshot", snapshot, self.keys.signer("snapshot")))

    def _stamp(self, snapshot_version: int) -> int:
        held = self.role("timestamp")
        signed = held or self.api.Timestamp()
        signed.version, signed.expires = held.version + 1 if held else 1, self.now + LIFETIME["timestamp"]
        signed.snapshot_meta = self.api.MetaFile(version=snapshot_version)
        metadata = self.api.Metadata(signed)
        metadata.sign(self.keys.signer("timestamp"))
        self.store.put(f"{METADATA}/timestamp.json", metadata.to_bytes())
        return int(signed.version)

    def _put(self, role: str, signed: Any, signer: Any, *, lifetime: str | None = None) -> int:
        """Signs and writes the next version of a role; gives the version."""
        signed.version = max(self._versions(role), default=0) + 1
        signed.expires = self.now + LIFETIME[lifetime or role]
        metadata = self.api.Metadata(signed)
        metadata.sign(signer)
        if not self.store.put_if_absent(f"{METADATA}/{signed.version}.{role}.json", metadata.to_bytes()):
            raise BadTransport(f"{role} version {signed.version} was written by another signer at the same time. Run the release again.")
        return int(signed.version)

    def _put_root(self) -> None:
        root = self.api.Root(expires=self.now + LIFETIME["root"], consistent_snapshot=True)
        signers = [self.keys.signer(name) for name in ROOT_KEYS]
        for signer in signers:
            root.add_key(signer.public_key, "root")
        root.roles["root"].threshold = ROOT_THRESHOLD
        for role in ONLINE_ROLES:
            root.add_key(self.keys.signer(role).public_key, role)
        metadata = self.api.Metadata(root)
        for signer in signers[:ROOT_THRESHOLD]:
            metadata.sign(signer, append=True)
        data = metadata.to_bytes()
        if not self.store.put_if_absent(f"{METADATA}/1.root.json", data):
            raise BadTransport(f"{self.store.uri}: another signer made the root metadata at the same time")
        self.keys.trust.write_bytes(data)

    def _load(self, name: str) -> Any:
        key = f"{METADATA}/{name}.json"
        try:
            return self.api.Metadata.from_bytes(self.store.get(key))
        except KeyError as err:
            raise BadData(f"{key} is missing in {self.store.uri}: the release metadata is incomplete") from err

    def _versions(self, role: str) -> list[int]:
        found = (re.fullmatch(rf"(\d+)\.{re.escape(role)}\.json", key.rpartition("/")[2]) for key in self.store.list(f"{METADATA}/"))
        return [int(match[1]) for match in found if match]


def checked_group(name: str) -> str:
    """The name itself, or BadData if it cannot be a delegated role's."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,40}", name) or name in ("root", *ONLINE_ROLES):
        raise BadData(f"vehicle group {name!r}: use a-z, 0-9 and '-', starting with a letter, and no name of a TUF role")
    return name


def target_key(path: str, sha256: str) -> str:
    """Where a target lies under consistent snapshots: its file name carries its hash."""
    folder, _, name = path.rpartition("/")
    return f"{TARGETS}/{folder}/{sha256}.{name}"
