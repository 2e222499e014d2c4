"""Where a root's local services keep their state (Dagster runs, FiftyOne's database, MLflow, signing keys): never inside the root."""

import hashlib
import os
from pathlib import Path

DEFAULT_ROOT = ".flywheel/root"


def default_root() -> str:
    """FLYWHEEL_ROOT, or `.flywheel/root` under the working directory."""
    return os.environ.get("FLYWHEEL_ROOT", DEFAULT_ROOT)


def state_dir(root: str) -> Path:
    """A private folder for one root: FLYWHEEL_STATE, or one named after the root under `.flywheel/state`."""
    if named := os.environ.get("FLYWHEEL_STATE"):
        folder = Path(named)
    else:
        place = root if "://" in root else str(Path(root).expanduser().resolve())
        folder = Path(".flywheel/state") / f"{Path(place).name}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder.resolve()


def dagster_home(root: str) -> Path:
    """DAGSTER_HOME, or a folder in the state directory; with a dagster.yaml that switches telemetry off."""
    home = Path(os.environ.get("DAGSTER_HOME") or state_dir(root) / "dagster")
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text("telemetry:\n  enabled: false\n")
    return home
