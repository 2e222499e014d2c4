"""The client a vehicle runs: it trusts a root.json it was provisioned with, verifies everything, and switches slots last.

Needs the core and the `vehicle` extra (tuf) alone. In the vehicle's folder: `trust/root.json`, `metadata/` (what was seen, against
rollback and freeze), `slots/A` and `slots/B`, and `current`, a link to the slot that runs.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from flywheel.errors import BadData, BadTransport, GateFailed, require
from flywheel.release.fetch import file_fetcher
from flywheel.release.manifest import MODEL_FILE, RELEASE_FILE, ROLLOUT_FILE, ReleaseManifest
from flywheel.release.serve import serve_ota
from flywheel.release.stages import Rollout, includes
from flywheel.types import Record

__all__ = ["UpdateReport", "installed", "serve_ota", "update_vehicle"]
SLOTS = ("A", "B")


class UpdateReport(Record):
    """What an update did. `files` are the SHA-256 of what now lies in the running slot, computed from disk."""

    vehicle_id: str
    status: Literal["installed", "current", "held"]
    reason: str
    release_version: int
    model_id: str
    dataset: str
    slot: str
    files: dict[str, str]


def update_vehicle(
    ota_url: str, *, vehicle_id: str, folder: Path, trust: Path | None = None, group: str = "fleet-a", hardware_id: str = "generic"
) -> UpdateReport:
    """Brings a vehicle to the release it may take: `installed`, `current` (nothing to do) or `held` (its turn has not come).

    `ota_url` is http(s)://, file:// or a folder. BadData if anything is unsigned, expired, tampered with or older than what
    was seen; GateFailed for other hardware or a lower release counter; BadTransport if the server cannot be reached.
    A vehicle without a model takes the release at any stage; a halted release reaches nobody.
    """
    for name in ("metadata", "trust", "slots", "incoming"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    root = _provisioned(folder, trust)
    with _refusals(ota_url):
        updater = _updater(ota_url, folder, root)
        updater.refresh()
        release = ReleaseManifest.model_validate_json(_fetch(updater, f"{group}/{RELEASE_FILE}", folder))
        rollout = Rollout.model_validate_json(_fetch(updater, f"{group}/{ROLLOUT_FILE}", folder))
        held = _installed(folder)
        if reason := _not_now(release, rollout, held, vehicle_id=vehicle_id, hardware_id=hardware_id):
            return _report(vehicle_id, folder, held, "held", reason)
        if held is not None and held.release_version == release.release_version and _sound(folder, held):
            return _report(vehicle_id, folder, held, "current", "this release is installed and sound")
        _fetch(updater, f"{group}/{MODEL_FILE}", folder)
    _install(folder, release)
    return _report(vehicle_id, folder, release, "installed", f"{rollout.stage_name}: {rollout.percent:g}% of vehicles")


def installed(folder: Path, *, vehicle_id: str) -> UpdateReport | None:
    """What runs in a vehicle now, with hashes computed from disk; None if nothing was installed yet. `reason` says if it is damaged."""
    held = _installed(folder)
    if held is None:
        return None
    reason = (
        "read from disk and sound" if _sound(folder, held) else "damaged: the weights are not those of the release record; update again"
    )
    return _report(vehicle_id, folder, held, "current", reason)


def _provisioned(folder: Path, trust: Path | None) -> bytes:
    anchor = folder / "trust" / "root.json"
    if not anchor.is_file():
        if trust is None:
            raise BadData(
                f"{folder} has no trusted root: provision it once with the root.json of the release keys folder, never from a server"
            )
        if not trust.is_file():
            raise BadData(f"no root metadata at {trust}: give the root.json from the release keys folder")
        _write(anchor, trust.read_bytes())
    return anchor.read_bytes()


def _updater(ota_url: str, folder: Path, root: bytes) -> Any:
    ngclient = require("tuf.ngclient", extra="vehicle")
    base, fetcher = ota_url.rstrip("/"), None
    if not base.startswith(("http://", "https://")):
        base, fetcher = file_fetcher(base)
    return ngclient.Updater(
        metadata_dir=str(folder / "metadata"), metadata_base_url=f"{base}/metadata/", target_dir=str(folder / "incoming"),
        target_base_url=f"{base}/targets/", fetcher=fetcher, bootstrap=root,
    )  # fmt: skip


@contextlib.contextmanager
def _refusals(ota_url: str) -> Iterator[None]:
    """TUF's errors as ours: unreachable is not the same as untrustworthy."""
    errors = require("tuf.api.exceptions", extra="vehicle")
    try:
        yield
    except errors.ExpiredMetadataError as err:
        raise BadData(
            f"update refused: {err}. The publisher must renew its metadata (refresh_timestamp), or the vehicle's clock is wrong."
        ) from err
    except errors.DownloadError as err:
        raise BadTransport(f"update not possible: {ota_url}: {err}") from err
    except errors.RepositoryError as err:
        raise BadData(f"update refused: {ota_url}: {type(err).__name__}: {err}") from err


def _fetch(updater: Any, path: str, folder: Path) -> bytes:
    info = updater.get_targetinfo(path)
    if info is None:
        raise BadData(f"no signed target {path}: is this the vehicle's group?")
    file = folder / "incoming" / path.rpartition("/")[2]
    updater.download_target(info, str(file))
    return file.read_bytes()


def _not_now(release: ReleaseManifest, rollout: Rollout, held: ReleaseManifest | None, *, vehicle_id: str, hardware_id: str) -> str:
    """Why the vehicle keeps what it has; empty if it may take the release. GateFailed if it must never take it."""
    if hardware_id not in release.hardware_ids:
        raise GateFailed(
            f"update refused: release {release.release_version} is for {', '.join(release.hardware_ids)}, this is {hardware_id}"
        )
    if rollout.release_version != release.release_version or rollout.model_id != release.model_id:
        raise BadData(f"update refused: the rollout is of release {rollout.release_version}, the release is {release.release_version}")
    if held is not None and release.release_version < held.release_version:
        raise GateFailed(f"update refused: release {release.release_version} is older than the installed {held.release_version}")
    if held is not None and release.release_version == held.release_version:
        return ""
    if rollout.percent == 0:
        return f"release {release.release_version} is {rollout.state}"
    if held is None or includes(rollout, vehicle_id):
        return ""
    return (
        f"release {release.release_version} is at {rollout.stage_name} ({rollout.percent:g}% of vehicles); this vehicle's turn comes later"
    )


def _running(folder: Path) -> Path | None:
    current = folder / "current"
    return current.resolve() if current.is_symlink() and (current / RELEASE_FILE).is_file() else None


def _installed(folder: Path) -> ReleaseManifest | None:
    slot = _running(folder)
    return ReleaseManifest.model_validate_json((slot / RELEASE_FILE).read_bytes()) if slot else None


def _sound(folder: Path, held: ReleaseManifest) -> bool:
    slot = _running(folder)
    return slot is not None and (slot / MODEL_FILE).is_file() and _sha256(slot / MODEL_FILE) == held.weights_sha256


def _install(folder: Path, release: ReleaseManifest) -> None:
    """Fills the slot that does not run, checks it from disk, and then switches by renaming a link."""
    running = _running(folder)
    slot = next(folder / "slots" / name for name in SLOTS if running is None or running.name != name)
    shutil.rmtree(slot, ignore_errors=True)
    slot.mkdir()
    for name in (MODEL_FILE, RELEASE_FILE):
        _write(slot / name, (folder / "incoming" / name).read_bytes())
    if _sha256(slot / MODEL_FILE) != release.weights_sha256:
        raise BadData(
            f"update refused: the weights have hash {_sha256(slot / MODEL_FILE)}, the release record says {release.weights_sha256}"
        )
    link = folder / ".current.tmp"
    link.unlink(missing_ok=True)
    link.symlink_to(Path("slots") / slot.name)
    link.replace(folder / "current")


def _write(file: Path, data: bytes) -> None:
    beside = file.with_name(f".{file.name}.tmp")
    with beside.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(file)


def _sha256(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _report(
    vehicle_id: str, folder: Path, held: ReleaseManifest | None, status: Literal["installed", "current", "held"], reason: str
) -> UpdateReport:
    slot = _running(folder)
    return UpdateReport(
        vehicle_id=vehicle_id, status=status, reason=reason, release_version=held.release_version if held else 0,
        model_id=held.model_id if held else "", dataset=held.dataset if held else "", slot=slot.name if slot else "",
        files={file.name: _sha256(file) for file in sorted(slot.iterdir())} if slot else {},
    )  # fmt: skip
