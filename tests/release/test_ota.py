import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from flywheel.errors import BadData, BadTransport, GateFailed
from flywheel.release.ota import refresh_timestamp, sign_release
from flywheel.release.repository import utc_now
from flywheel.release.rollout import roll
from flywheel.release.vehicle import installed, serve_ota, update_vehicle
from flywheel.store import DiskStore


def _ota(store: DiskStore) -> Path:
    return Path(store.uri, "ota")


def test_a_vehicle_takes_a_release_over_http_once(store: DiskStore, keys: Path, make_model, tmp_path: Path) -> None:
    model, _ = make_model(1)
    release = sign_release(store, model, keys=keys)
    assert (release.release_version, release.stage, release.percent) == (1, "canary", 1.0)
    with serve_ota(_ota(store)) as url:
        first = update_vehicle(url, vehicle_id="v1", folder=tmp_path / "car", trust=Path(release.trust))
        again = update_vehicle(url, vehicle_id="v1", folder=tmp_path / "car")
    assert (first.status, first.release_version, first.slot) == ("installed", 1, "A")
    assert first.files["model.safetensors"] == model.weights_sha256
    assert again == first.model_copy(update={"status": "current", "reason": again.reason})
    running = json.loads((tmp_path / "car/current/release.json").read_text())
    assert (running["model_id"], running["dataset_digest"], running["evaluation"]["recall_vehicle"]) == ("model-1", "a" * 64, 0.9)


def test_signing_again_writes_nothing(store: DiskStore, keys: Path, make_model) -> None:
    model, _ = make_model(1)
    release = sign_release(store, model, keys=keys)
    before = {key: store.get(key) for key in store.list()}
    assert sign_release(store, model, keys=keys) == release
    assert {key: store.get(key) for key in store.list()} == before
    assert all(file.stat().st_mode & 0o077 == 0 for file in keys.glob("*.pem"))
    root = json.loads(store.get("ota/metadata/1.root.json"))
    assert (root["signed"]["roles"]["root"]["threshold"], len(root["signatures"]), len(root["signed"]["roles"]["root"]["keyids"])) == (
        2,
        2,
        3,
    )


def test_stages_hold_a_running_vehicle_until_its_turn(store: DiskStore, keys: Path, make_model, tmp_path: Path) -> None:
    release = sign_release(store, make_model(1)[0], keys=keys)
    car = {"vehicle_id": "v1", "folder": tmp_path / "car", "trust": Path(release.trust)}
    update_vehicle(str(_ota(store)), **car)
    sign_release(store, make_model(2)[0], keys=keys)
    held = update_vehicle(str(_ota(store)), **car)
    assert (held.status, held.release_version) == ("held", 1)
    assert "canary (1% of vehicles)" in held.reason
    for _ in range(3):
        roll(store, "ADVANCE", keys=keys)
    taken = update_vehicle(str(_ota(store)), **car)
    assert (taken.status, taken.release_version, taken.slot) == ("installed", 2, "B")
    assert roll(store, "STATUS", keys=tmp_path / "no keys").state == "complete"
    assert json.loads(store.get("ota/rollout.json"))["stage"] == 3


def test_roll_back_is_a_new_release_of_the_old_model(store: DiskStore, keys: Path, make_model, tmp_path: Path) -> None:
    release = sign_release(store, make_model(1)[0], keys=keys)
    bad = sign_release(store, make_model(2)[0], keys=keys, staged=False)
    car = {"vehicle_id": "v1", "folder": tmp_path / "car", "trust": Path(release.trust)}
    assert update_vehicle(str(_ota(store)), **car).model_id == "model-2"
    after = roll(store, "ROLLBACK", keys=keys)
    assert (after.release_version, after.model_id, after.state, bad.release_version) == (3, "model-1", "complete", 2)
    report = update_vehicle(str(_ota(store)), **car)
    assert (report.status, report.release_version, report.model_id) == ("installed", 3, "model-1")
    with pytest.raises(GateFailed, match="nothing to roll back to"):
        roll(store, "ROLLBACK", keys=keys)
    with pytest.raises(GateFailed, match="was released before"):
        sign_release(store, make_model(2)[0], keys=keys)


def test_a_halted_release_reaches_nobody(store: DiskStore, keys: Path, make_model, tmp_path: Path) -> None:
    release = sign_release(store, make_model(1)[0], keys=keys)
    roll(store, "HALT", keys=keys)
    report = update_vehicle(str(_ota(store)), vehicle_id="v1", folder=tmp_path / "car", trust=Path(release.trust))
    assert (report.status, report.release_version, report.files) == ("held", 0, {})
    assert not (tmp_path / "car/current").exists()


def _signed(store: DiskStore, keys: Path, make_model) -> Path:
    return Path(sign_release(store, make_model(1)[0], keys=keys).trust)


def test_a_tampered_target_is_refused_and_the_old_slot_runs_on(store: DiskStore, keys: Path, make_model, tmp_path: Path) -> None:
    trust = _signed(store, keys, make_model)
    car = {"vehicle_id": "v1", "folder": tmp_path / "car", "trust": trust}
    before = update_vehicle(str(_ota(store)), **car)
    sign_release(store, make_model(2)[0], keys=keys, staged=False)
    for file in _ota(store).glob("targets/fleet-a/*.model.safetensors"):
        file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    with pytest.raises(BadData, match="update refused"):
        update_vehicle(str(_ota(store)), **car)
    assert json.loads((tmp_path / "car/current/release.json").read_text())["release_version"] == before.release_version


def test_metadata_rolled_back_is_refused(store: DiskStore, keys: Path, make_model, tmp_path: Path) -> None:
    trust = _signed(store, keys, make_model)
    old = store.get("ota/metadata/timestamp.json")
    sign_release(store, make_model(2)[0], keys=keys, staged=False)
    update_vehicle(str(_ota(store)), vehicle_id="v1", folder=tmp_path / "car", trust=trust)
    store.put("ota/metadata/timestamp.json", old)
    with pytest.raises(BadData, match="BadVersionNumber"):
        update_vehicle(str(_ota(store)), vehicle_id="v1", folder=tmp_path / "car")


def test_an_expired_timestamp_is_refused_until_it_is_renewed(store: DiskStore, keys: Path, make_model, tmp_path: Path) -> None:
    release = sign_release(store, make_model(1)[0], keys=keys, now=utc_now() - timedelta(days=8))
    car = {"vehicle_id": "v1", "folder": tmp_path / "car", "trust": Path(release.trust)}
    with pytest.raises(BadData, match=r"expired.*refresh_timestamp"):
        update_vehicle(str(_ota(store)), **car)
    assert refresh_timestamp(store, keys) == 2
    assert update_vehicle(str(_ota(store)), **car).status == "installed"


def test_refresh_renews_whatever_has_aged(store: DiskStore, keys: Path, make_model, tmp_path: Path) -> None:
    release = sign_release(store, make_model(1)[0], keys=keys, now=utc_now() - timedelta(days=100))
    refresh_timestamp(store, keys)
    assert store.exists("ota/metadata/2.snapshot.json")
    assert store.exists("ota/metadata/2.fleet-a.json")
    report = update_vehicle(str(_ota(store)), vehicle_id="v1", folder=tmp_path / "car", trust=Path(release.trust))
    assert report.status == "installed"


def test_another_root_is_refused(store: DiskStore, keys: Path, make_model, tmp_path: Path) -> None:
    _signed(store, keys, make_model)
    other = DiskStore(tmp_path / "other")
    for key in store.list("models/"):
        other.put(key, store.get(key))
    wrong = sign_release(other, make_model(1)[0], keys=tmp_path / "other-keys").trust
    with pytest.raises(BadData, match="update refused"):
        update_vehicle(str(_ota(store)), vehicle_id="v1", folder=tmp_path / "car", trust=Path(wrong))


def test_no_trust_on_first_use(store: DiskStore, keys: Path, make_model, tmp_path: Path) -> None:
    _signed(store, keys, make_model)
    with pytest.raises(BadData, match="has no trusted root: provision it"):
        update_vehicle(str(_ota(store)), vehicle_id="v1", folder=tmp_path / "car")


def test_hardware_group_and_server_that_do_not_fit(store: DiskStore, keys: Path, make_model, tmp_path: Path) -> None:
    trust = _signed(store, keys, make_model)
    car = {"vehicle_id": "v1", "folder": tmp_path / "car", "trust": trust}
    with pytest.raises(GateFailed, match="is for generic, this is orin"):
        update_vehicle(str(_ota(store)), **car, hardware_id="orin")
    with pytest.raises(BadData, match="no signed target fleet-z"):
        update_vehicle(str(_ota(store)), **car, group="fleet-z")
    with pytest.raises(BadTransport, match="no folder"):
        update_vehicle(str(tmp_path / "nowhere"), **car)
    with serve_ota(_ota(store)) as url:
        pass
    with pytest.raises(BadTransport, match="not possible"):
        update_vehicle(url, **car)


def test_a_damaged_slot_is_filled_again(store: DiskStore, keys: Path, make_model, tmp_path: Path) -> None:
    trust = _signed(store, keys, make_model)
    car = {"vehicle_id": "v1", "folder": tmp_path / "car", "trust": trust}
    assert installed(tmp_path / "car", vehicle_id="v1") is None
    first = update_vehicle(str(_ota(store)), **car)
    held = installed(tmp_path / "car", vehicle_id="v1")
    assert (held.files, held.reason) == (first.files, "read from disk and sound")
    (tmp_path / "car/slots/A/model.safetensors").write_bytes(b"damaged")
    assert installed(tmp_path / "car", vehicle_id="v1").reason.startswith("damaged")
    report = update_vehicle(str(_ota(store)), **car)
    assert (report.status, report.slot) == ("installed", "B")


def test_groups_have_their_own_keys_and_paths(store: DiskStore, keys: Path, make_model, tmp_path: Path) -> None:
    trust = _signed(store, keys, make_model)
    sign_release(store, make_model(2)[0], keys=keys, group="fleet-b", hardware_ids=("orin",))
    assert sign_release(store, make_model(2)[0], keys=keys).release_version == 2
    report = update_vehicle(str(_ota(store)), vehicle_id="v9", folder=tmp_path / "car", trust=trust, group="fleet-b", hardware_id="orin")
    assert (report.model_id, report.release_version) == ("model-2", 1)
    delegations = json.loads(store.get("ota/metadata/2.targets.json"))["signed"]["delegations"]
    assert [(role["name"], role["paths"]) for role in delegations["roles"]] == [("fleet-a", ["fleet-a/*"]), ("fleet-b", ["fleet-b/*"])]
    assert len(delegations["keys"]) == 2
    with pytest.raises(BadData, match="vehicle group 'snapshot'"):
        sign_release(store, make_model(3)[0], keys=keys, group="snapshot")


def test_gates_and_keys(store: DiskStore, keys: Path, make_model, tmp_path: Path) -> None:
    unknown, _ = make_model(7, precision=None)
    with pytest.raises(GateFailed, match="no test drives"):
        sign_release(store, unknown, keys=keys)
    assert not store.list("ota/")
    with pytest.raises(BadData, match="must not lie in the root"):
        sign_release(store, unknown, keys=Path(store.uri, "keys"), waiver="bench test only")
    waived = sign_release(store, unknown, keys=keys, waiver="bench test only")
    assert json.loads(store.get(f"models/{unknown.model_id}/release.json"))["waiver"] == "bench test only"
    assert waived.release_version == 1
    with pytest.raises(BadData, match="has no keys"):
        sign_release(store, make_model(1)[0], keys=tmp_path / "empty")
    other = DiskStore(tmp_path / "other")
    for key in store.list("models/"):
        other.put(key, store.get(key))
    sign_release(other, make_model(1)[0], keys=tmp_path / "others")
    with pytest.raises(BadData, match="was signed with other keys"):
        sign_release(store, make_model(1)[0], keys=tmp_path / "others")
    for file in keys.glob("*.pem"):
        file.unlink()
    with pytest.raises(BadData, match="has no keys"):
        refresh_timestamp(store, keys)


def test_a_run_killed_before_the_timestamp_released_nothing(store: DiskStore, keys: Path, make_model, tmp_path: Path) -> None:
    trust = _signed(store, keys, make_model)
    second, _ = make_model(2)
    code = (
        "import os, signal, sys; from pathlib import Path; from flywheel.models import read_model; from flywheel.store import DiskStore\n"
        "from flywheel.release import ota, repository\n"
        "repository.Repository._stamp = lambda self, version: os.kill(os.getpid(), signal.SIGKILL)\n"
        "store = DiskStore(Path(sys.argv[1])); ota.sign_release(store, read_model(store, 'model-2'), keys=Path(sys.argv[2]), staged=False)"
    )
    assert subprocess.run([sys.executable, "-c", code, store.uri, str(keys)], check=False, capture_output=True).returncode == -9
    car = {"vehicle_id": "v1", "folder": tmp_path / "car", "trust": trust}
    assert update_vehicle(str(_ota(store)), **car).model_id == "model-1"
    assert sign_release(store, second, keys=keys, staged=False).release_version == 2
    assert update_vehicle(str(_ota(store)), **car).model_id == "model-2"


def test_the_client_needs_neither_torch_nor_mlflow() -> None:
    code = (
        "import sys, flywheel.release.vehicle as v; from tuf.ngclient import Updater\n"
        "print(sorted({'torch', 'mlflow', 'pyarrow', 'lance', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
