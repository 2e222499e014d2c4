"""Forgetting a drive takes everything that descends from it, leaves all else as it was, survives a kill, and lets it not come back."""

import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import lance
import pytest
from typer.testing import CliRunner

from flywheel.cli import app
from flywheel.datasets import dataset_key, manifest_key, open_dataset, read_images, read_manifest, read_rows, versions, withdrawn
from flywheel.errors import BadData
from flywheel.forget.run import copies, drives_of, finish_pending, forget, forget_review, pending, plan_forget
from flywheel.generate.plan import Plan, plan_key
from flywheel.generate.protocol import GeneratorInfo
from flywheel.generate.request import request_for
from flywheel.ingest.land import land
from flywheel.ingest.run import ingest_batch
from flywheel.ingest.seal import take_inbox
from flywheel.models import MODEL, TrainedModel, model_key
from flywheel.publish.dataset import publish, verify
from flywheel.publish.recipe import Recipe
from flywheel.store import DiskStore, media_key, put_media
from flywheel.tables import SCHEMAS, read_table, rows_table, write_table
from flywheel.types import Condition, canonical_json
from tests.ingest.make_mcap import METADATA, make_mcap

RECIPE = Recipe(name="small", reference_frames_per_drive=2)


@pytest.fixture(scope="session")
def drawn() -> ModuleType:
    """tests/publish/drawn.py (test folders are no packages)."""
    spec = importlib.util.spec_from_file_location("drawn", Path(__file__).parents[1] / "publish/drawn.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def request(drive_id: str, event_id: str, parent: str) -> Any:
    """A planned variation of a drive's frame."""
    frame = {"event_id": event_id, "scenario": "pedestrian_crossing", "level": "L1", "drive_id": drive_id, "root_group": "g", "t_ns": 1,
             "camera": "front", "parent_sha256": parent, "parent_ext": "jpg", "source_condition": "day_clear"}  # fmt: skip
    return request_for(frame, target=Condition(lighting="night"), generator=INFO, prompt="p", negative_prompt="n")


INFO = GeneratorInfo(name="g", model_revision="1", weights_sha256="0" * 64, parameters={}, licence="CC0-1.0", digital_source_type="x")


def model_of(store: DiskStore, version: str) -> str:
    """A model's record that says it learned from a version of the dataset."""
    digest = read_manifest(store, f"small@{version}").digest
    zeros = dict.fromkeys(("parameters", "steps", "train_samples", "synthetic_samples", "val_samples"), 0)
    made = TrainedModel(
        model_id=f"model-{version}", name="m", dataset_name="small", dataset_version=version, dataset_digest=digest, config={},
        weights_sha256="0" * 64, loss_first=0, loss_last=0, threshold=0.5, code_version="1", **zeros,
    )  # fmt: skip
    store.put(model_key(made.model_id, MODEL), canonical_json(made.model_dump(mode="json")))
    return made.model_id


@pytest.fixture
def root(tmp_path: Path, drawn: ModuleType) -> tuple[DiskStore, list[str]]:
    """Five drives with events, variations and decisions; three dataset versions (the first without the fourth drive), models, a plan."""
    store = DiskStore(tmp_path / "root")
    drives = [drawn.add_drive(store, seed, variations=2) for seed in (1, 2, 3)]
    publish(store, RECIPE)
    drives.append(drawn.add_drive(store, 4, variations=2))
    publish(store, RECIPE)
    drawn.add_drive(store, 5)
    publish(store, RECIPE)
    for version in ("v1", "v2", "v3"):
        model_of(store, version)
    frames = read_table(store, "FRAMES").to_pylist()
    events = {row["drive_id"]: row["event_id"] for row in read_table(store, "EVENTS").to_pylist()}
    first = {row["drive_id"]: row["media_sha256"] for row in reversed(frames)}
    requests = tuple(request(drive, events[drive], first[drive]) for drive in drives)
    plan = Plan(batch_id=drawn.BATCH, number=1, generator=INFO, requests=requests, cells=())
    store.put(plan_key(drawn.BATCH, 1), canonical_json(plan.model_dump(mode="json")))
    text = f"holds what {drives[3]} holds too: a copy?"
    finding = {"drive_id": drives[0], "gate": "twin", "severity": "warning", "message": text}
    write_table(store, "FINDINGS", rows_table("FINDINGS", [finding]), batch_id=drawn.BATCH, part=drives[0])
    return store, drives


def everything(store: DiskStore) -> str:
    """All that the root says anywhere: keys, table rows, JSON, and the rows of every readable dataset version."""
    said = [*store.list()]
    for name in SCHEMAS:
        said.append(json.dumps(read_table(store, name).to_pylist(), default=str))
    said += [store.get(key).decode() for key in store.list() if key.endswith((".json", ".md"))]
    for dataset in {key.split("/")[1] for key in store.list("datasets/") if ".lance/" in key}:
        head = lance.dataset(store.lance(f"datasets/{dataset}")[0])
        for entry in head.versions():
            at = lance.dataset(head.uri, version=entry["version"])
            rows = at.scanner(columns=["drive_id", "event_id", "media_sha256"], with_row_id=True, include_deleted_rows=True).to_table()
            said.append(json.dumps(rows.to_pylist()))
    return "\n".join(said)


def traces(store: DiskStore, drive: str) -> dict[str, str]:
    """Ids and hashes that lead to a drive, by what they are."""
    rows = read_table(store, "VARIATIONS").to_pylist()
    mine = [row for row in rows if row["drive_id"] == drive]
    frames = [row["media_sha256"] for row in read_table(store, "FRAMES").to_pylist() if row["drive_id"] == drive]
    others = {row["media_sha256"] for row in read_table(store, "FRAMES").to_pylist() if row["drive_id"] != drive}
    found = {drive: "drive"} | {row["variation_id"]: "variation" for row in mine} | {row["output_sha256"]: "output" for row in mine}
    group = next(row["root_group"] for row in read_table(store, "DRIVES").to_pylist() if row["drive_id"] == drive)
    events = {row["event_id"]: "event" for row in read_table(store, "EVENTS").to_pylist() if row["drive_id"] == drive}
    return found | {sha: "frame" for sha in frames if sha not in others} | events | {group: "group"}


def test_a_dry_run_shows_what_goes_and_writes_nothing(root: tuple[DiskStore, list[str]]) -> None:
    store, drives = root
    before = {key: store.get(key) for key in store.list()}
    done = CliRunner().invoke(app, ["forget", "--drive", drives[3], "--root", store.uri, "--json"], catch_exceptions=False)
    said = json.loads(done.stdout)
    assert not said["done"]
    assert (len(said["variations"]), len(said["events"]), said["planned"]) == (2, 1, 1)
    assert [(d["name"], d["withdrawn"], d["replaced_by"]) for d in said["datasets"]] == [("small", ["v2", "v3"], "v4")]
    assert said["models"] == ["model-v2", "model-v3"]
    assert {key: store.get(key) for key in store.list()} == before


def test_nothing_that_leads_to_the_drive_is_left(
    root: tuple[DiskStore, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store, drives = root
    monkeypatch.setenv("FLYWHEEL_STATE", str(tmp_path / "state"))
    leads = traces(store, drives[3])
    assert set(leads.values()) == {"drive", "variation", "output", "frame", "event", "group"}
    before = everything(store)
    assert all(lead in before for lead in leads)
    done = CliRunner().invoke(app, ["forget", "--drive", drives[3], "--yes", "--root", store.uri], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    after = everything(store)
    assert [(lead, what) for lead, what in leads.items() if lead in after] == []


def test_a_still_of_a_video_goes_too(root: tuple[DiskStore, list[str]], drawn: ModuleType) -> None:
    """A planned variation's parent may be a picture decoded from a video: only the plan names it."""
    store, drives = root
    still = put_media(store, b"a decoded picture", "png")
    plan = Plan.model_validate_json(store.get(plan_key(drawn.BATCH, 1)))
    more = request(drives[3], plan.requests[3].event_id, still).model_copy(update={"parent_ext": "png"})
    store.put(plan_key(drawn.BATCH, 2), canonical_json(plan.model_copy(update={"number": 2, "requests": (more,)}).model_dump(mode="json")))
    forget(store, plan_forget(store, frozenset({drives[3]})))
    assert not store.exists(media_key(still, "png"))


def test_all_else_stays_as_it_was(root: tuple[DiskStore, list[str]]) -> None:
    store, drives = root
    tables = [name for name in SCHEMAS if name not in ("DECISIONS", "FINDINGS")]
    kept = {name: [r for r in read_table(store, name).to_pylist() if r.get("drive_id") != drives[3]] for name in tables}
    gone = set(plan_forget(store, frozenset({drives[3]})).variations)
    decisions = [r for r in read_table(store, "DECISIONS").to_pylist() if r["subject_id"] not in gone]
    forget(store, plan_forget(store, frozenset({drives[3]})))
    assert {name: read_table(store, name).to_pylist() for name in kept} == kept
    assert read_table(store, "DECISIONS").to_pylist() == decisions
    shown = {media_key(r["media_sha256"], r["ext"]) for r in read_table(store, "FRAMES").to_pylist()}
    drawn_too = {media_key(r["output_sha256"], r["output_ext"]) for r in read_table(store, "VARIATIONS").to_pylist()}
    assert shown | drawn_too == set(store.list("media/"))
    assert read_table(store, "FINDINGS")["message"].to_pylist() == ["holds what (removed) holds too: a copy?"]
    plan = Plan.model_validate_json(store.get(store.list("plans/")[0]))
    assert {r.drive_id for r in plan.requests} == set(drives[:3])


def test_versions_without_the_drive_stay_readable_and_the_others_cannot_be_read_again(root: tuple[DiskStore, list[str]]) -> None:
    store, drives = root
    old = {v: read_manifest(store, f"small@{v}") for v in ("v1", "v2", "v3")}
    forget(store, plan_forget(store, frozenset({drives[3]})))
    assert versions(store, "small") == ["v1", "v4"]
    assert verify(store, "small@v1") == verify(store, "small@v4") == []
    assert [(w.version, w.digest, w.replaced_by) for w in withdrawn(store, "small")] == [(v, old[v].digest, "v4") for v in ("v2", "v3")]
    with pytest.raises(BadData, match="withdrawn: a source was removed"):
        read_manifest(store, "small@v2")
    for version in ("v2", "v3"):
        with pytest.raises((ValueError, OSError, BadData)):
            dataset = open_dataset(store, old[version])
            read_images(dataset, range(len(read_rows(dataset))))
    new = read_manifest(store, "small@v4")
    rows = read_rows(open_dataset(store, new), columns=["sample_id", "drive_id"]).to_pylist()
    assert (len(rows), {row["drive_id"] for row in rows} & {drives[3]}) == (new.rows, set())
    assert old["v2"].rows - old["v1"].rows == old["v3"].rows - new.rows > 0
    assert {s.drive_id for s in new.sources} == {s.drive_id for s in old["v3"].sources} - {drives[3]}
    assert {g: old["v3"].groups[g] for g in new.groups} == new.groups
    assert set(old["v3"].groups) - set(new.groups) == {"vehicle-4|2026-01-01|town"}


def test_a_later_publish_takes_no_number_twice(root: tuple[DiskStore, list[str]], drawn: ModuleType) -> None:
    store, drives = root
    forget(store, plan_forget(store, frozenset({drives[0]})))
    assert versions(store, "small") == ["v4"]
    assert publish(store, RECIPE).version == "v4"
    drawn.add_drive(store, 9)
    assert publish(store, RECIPE).version == "v5"
    assert verify(store, "small@v5") == []


def test_models_stay_and_say_that_a_source_was_removed(root: tuple[DiskStore, list[str]]) -> None:
    store, drives = root
    forget(store, plan_forget(store, frozenset({drives[3]})))
    notes = [key for key in store.list("models/") if key.endswith("/withdrawn.json")]
    assert notes == ["models/model-v2/withdrawn.json", "models/model-v3/withdrawn.json"]
    note = json.loads(store.get(notes[1]))
    assert (note["dataset"], note["replaced_by"]) == ("small@v3", "v4")
    assert all(store.exists(model_key(f"model-{v}", MODEL)) for v in ("v1", "v2", "v3"))


def test_a_vehicle_with_all_its_drives_and_a_dataset_that_was_only_theirs(tmp_path: Path, drawn: ModuleType) -> None:
    store = DiskStore(tmp_path)
    for seed in (1, 2):
        drawn.add_drive(store, seed, group=f"veh-a|2026-01-0{seed}|town")
    publish(store, RECIPE)
    plan = plan_forget(store, drives_of(store, vehicle="veh-a"))
    assert [(d.withdrawn, d.replaced_by) for d in plan.datasets] == [(("v1",), None)]
    forget(store, plan)
    assert store.list("datasets/") == [manifest_key("small", "v1", ext="withdrawn.json")]
    assert [key for key in store.list() if key.startswith(("tables/", "media/", dataset_key("small")))] == []
    drawn.add_drive(store, 3)
    assert publish(store, RECIPE).version == "v2"


class Killed(BaseException):
    """Stands for kill -9."""


class Dying(DiskStore):
    """A store whose process dies at the n-th change."""

    def __init__(self, folder: Path, *, changes: int) -> None:
        super().__init__(folder)
        self.left = changes

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def put(self, key: str, data: bytes) -> None:
        self._count()
        super().put(key, data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self._count()
        return super().put_if_absent(key, data)

    def delete(self, key: str) -> None:
        self._count()
        super().delete(key)


def state_of(store: DiskStore) -> dict[str, bytes]:
    """All objects but Lance's own files (their names are drawn anew each time) and the moment of removal."""
    return {
        key: store.get(key)
        for key in store.list()
        if ".lance/" not in key and not key.startswith("tombstones/") and not key.endswith(("v4.json", "v4.md"))
    }


def test_a_kill_at_any_change_is_finished_by_the_next_run(tmp_path: Path, drawn: ModuleType) -> None:
    def made(folder: Path) -> tuple[DiskStore, str]:
        store = DiskStore(folder)
        drives = [drawn.add_drive(store, seed, frames=10) for seed in (1, 2)]
        publish(store, RECIPE)
        return store, drives[1]

    clean, drive = made(tmp_path / "clean")
    count = Dying(clean.folder, changes=10**6)
    forget(count, plan_forget(count, frozenset({drive})))
    changes = 10**6 - count.left
    wanted = state_of(clean)
    assert changes > 20
    for at in (0, 1, 2, *range(3, changes - 1, 7), changes - 1):
        store, drive = made(tmp_path / f"killed-{at}")
        with pytest.raises(Killed):
            dying = Dying(store.folder, changes=at)
            forget(dying, plan_forget(dying, frozenset({drive})))
        if at > 0:
            assert pending(store), at
            finish_pending(store)
        else:
            forget(store, plan_forget(store, frozenset({drive})))
        assert pending(store) == []
        after = state_of(store)
        newest = read_manifest(store, "small")
        assert {k: v for k, v in after.items() if ".manifests/v" not in k} == {
            k: v for k, v in wanted.items() if ".manifests/v" not in k
        }, at
        assert newest.digest == read_manifest(clean, "small").digest
        assert verify(store, newest.ref) == []
        assert drive not in everything(store)


def test_forgetting_twice_changes_nothing(root: tuple[DiskStore, list[str]]) -> None:
    store, drives = root
    forget(store, plan_forget(store, frozenset({drives[3]})))
    before = {key: store.get(key) for key in store.list()}
    plan = plan_forget(store, frozenset({drives[3]}))
    assert plan.empty
    forget(store, plan)
    assert {key: store.get(key) for key in store.list()} == before


@pytest.fixture
def landed(tmp_path: Path) -> Iterator[tuple[DiskStore, Path, Callable[[str], str]]]:
    """A root of landed and ingested logs: `a` twice (once under another name), `b`; and a way to find a drive's id by its vehicle."""
    store, logs = DiskStore(tmp_path / "root"), tmp_path / "logs"
    logs.mkdir()
    make_mcap(logs / "a.mcap", seconds=1.2, metadata=METADATA | {"vehicle_id": "veh-a"})
    make_mcap(logs / "b.mcap", seconds=1.3, metadata=METADATA | {"vehicle_id": "veh-b"})
    (logs / "a-again.mcap").write_bytes((logs / "a.mcap").read_bytes())
    ingest_batch(store, land(store, logs))
    yield store, logs, lambda vehicle: next(iter(drives_of(store, vehicle=vehicle)))


def test_landed_bytes_go_under_every_name_and_the_log_may_not_come_back(landed: tuple[DiskStore, Path, Callable[[str], str]]) -> None:
    store, logs, drive_of = landed
    batch_id = store.list("landing/")[0].split("/")[1]
    shared_frames = set(store.list("media/"))
    forget(store, plan_forget(store, frozenset({drive_of("veh-a")})))
    assert store.list("landing/") == [f"landing/{batch_id}/_MANIFEST.json", f"landing/{batch_id}/b.mcap"]
    assert set(store.list("media/")) <= shared_frames
    assert ingest_batch(store, batch_id).drives == 0
    assert land(store, logs) == batch_id
    assert store.list("landing/") == [f"landing/{batch_id}/_MANIFEST.json", f"landing/{batch_id}/b.mcap"]
    with pytest.raises(BadData, match="may not come back"):
        land(store, logs / "a.mcap")
    (mark,) = [key for key in store.list("tombstones/") if key.endswith(".json")]
    assert list(json.loads(store.get(mark))) == ["removed"]


def test_a_recording_that_lands_some_other_way_is_refused_and_can_be_removed_again(
    landed: tuple[DiskStore, Path, Callable[[str], str]],
) -> None:
    store, _, drive_of = landed
    drive, batch_id = drive_of("veh-a"), store.list("landing/")[0].split("/")[1]
    whole = {key: store.get(key) for key in store.list("landing/")}
    forget(store, plan_forget(store, frozenset({drive})))
    for key, data in whole.items():
        store.put(key, data)
    report = ingest_batch(store, batch_id)
    assert report.drives == 0
    assert f"forget --drive {drive} --yes" in report.quarantined[0].reason
    forget(store, plan_forget(store, frozenset({drive})))
    assert store.list("quarantine/") == []
    assert len(store.list("landing/")) == 2


def test_a_recording_that_comes_back_through_the_inbox_is_deleted_there(landed: tuple[DiskStore, Path, Callable[[str], str]]) -> None:
    store, logs, drive_of = landed
    forget(store, plan_forget(store, frozenset({drive_of("veh-a")})))
    store.put("inbox/a.mcap", (logs / "a.mcap").read_bytes())
    store.put("inbox/other.bin", b"other")
    (batch_id,) = take_inbox(store, now_t_ns=time.time_ns() + 10**12).new
    assert store.list(f"landing/{batch_id}/") == [f"landing/{batch_id}/_MANIFEST.json", f"landing/{batch_id}/other.bin"]
    assert store.list("inbox/") == []


def test_again_keeps_the_log_and_leaves_no_tombstone(landed: tuple[DiskStore, Path, Callable[[str], str]]) -> None:
    store, _, drive_of = landed
    drive, batch_id = drive_of("veh-a"), store.list("landing/")[0].split("/")[1]
    before = {key: store.get(key) for key in store.list() if "/FINDINGS/" not in key}
    forget(store, plan_forget(store, frozenset({drive}), again=True))
    assert store.list("tombstones/") == []
    assert drive not in read_table(store, "DRIVES")["drive_id"].to_pylist()
    assert ingest_batch(store, batch_id).drives == 1
    assert {key: store.get(key) for key in store.list() if "/FINDINGS/" not in key} == before


def test_a_copy_under_other_bytes_is_told_and_stays(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "root")
    (tmp_path / "logs").mkdir()
    for name, licence in (("a.mcap", "CC0-1.0"), ("b.mcap", "CC-BY-4.0")):
        make_mcap(tmp_path / "logs" / name, seconds=1.2, metadata=METADATA | {"licence": licence})
    ingest_batch(store, land(store, tmp_path / "logs"))
    one, two = sorted(drives_of(store, vehicle="veh-1"))
    assert copies(store, frozenset({one})) == [two]


def test_pictures_that_review_had_copied_go_too(root: tuple[DiskStore, list[str]], tmp_path: Path) -> None:
    store, drives = root
    plan, state = plan_forget(store, frozenset({drives[3]})), tmp_path / "state"
    for key in store.list("media/"):
        DiskStore(state / "media").put(key, store.get(key))
    forget(store, plan)
    assert forget_review(store, plan, state=state) == "none"
    assert not set(plan.media) & set(DiskStore(state / "media").list())
    assert DiskStore(state / "media").list() == store.list("media/")


def test_one_of_drive_and_vehicle_must_be_said(tmp_path: Path) -> None:
    for words in ([], ["--drive", "x", "--vehicle", "y"]):
        done = CliRunner().invoke(app, ["forget", *words, "--root", str(tmp_path)])
        assert done.exit_code == 1
    with pytest.raises(BadData, match="say which"):
        drives_of(DiskStore(tmp_path))
