import itertools
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from flywheel.datasets import open_dataset, read_manifest, read_rows
from flywheel.errors import BadData, GateFailed, NotEvaluable
from flywheel.publish.dataset import diff, list_datasets, publish, pull, verify, verify_folder
from flywheel.publish.images import image_size
from flywheel.publish.recipe import Recipe, real_only
from flywheel.store import DiskStore, media_key
from flywheel.tables import SCHEMAS, read_table, write_table


def _rows(store: DiskStore, ref: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = read_rows(open_dataset(store, read_manifest(store, ref))).to_pylist()
    return rows


def _change(store: DiskStore, drawn: ModuleType, drive_id: str, **values: str) -> None:
    table = read_table(store, "VARIATIONS", part=drive_id)
    for column, value in values.items():
        place = table.schema.get_field_index(column)
        table = table.set_column(place, SCHEMAS["VARIATIONS"].field(column), [[value] * len(table)])
    write_table(store, "VARIATIONS", table, batch_id=drawn.BATCH, part=drive_id)


def test_first_version_and_a_rerun_that_writes_nothing(store: DiskStore, drawn: ModuleType) -> None:
    drawn.fleet(store, 4)
    first = publish(store)
    assert (first.ref, first.real, first.synthetic, first.refused) == ("rare-driving@v1", 32, 4, 0)
    assert min(first.train, first.val, first.test) > 0
    assert first.labelled == first.rows
    assert first.evaluable
    before = store.list()
    assert publish(store) == first
    assert store.list() == before
    assert verify(store, "rare-driving@v1") == []
    assert list_datasets(store) == [first]


def test_children_inherit_split_group_and_scaled_boxes(store: DiskStore, drawn: ModuleType) -> None:
    drawn.fleet(store, 3)
    publish(store)
    rows = {row["sample_id"]: row for row in _rows(store, "rare-driving")}
    children = [row for row in rows.values() if row["synthetic"]]
    assert len(children) == 3
    for child in children:
        parent = rows[child["parent_sample_id"]]
        assert (child["split"], child["root_group"]) == (parent["split"], parent["root_group"])
        assert (child["width_px"], child["height_px"]) == (160, 90)
        assert [box["x1_px"] for box in child["labels"]] == pytest.approx([box["x1_px"] / 2 for box in parent["labels"]], abs=0.01)


def test_a_person_overrides_the_rule_and_no_decision_means_no(store: DiskStore, drawn: ModuleType) -> None:
    drawn.fleet(store, 3)
    assert publish(store).synthetic == 3
    subject = read_table(store, "VARIATIONS")["variation_id"][0].as_py()
    drawn.add_decision(store, drawn.decision(subject, "reject", actor_kind="person", t_ns=5))
    second = publish(store)
    assert (second.version, second.synthetic) == ("v2", 2)
    found = diff(store, "rare-driving", "v1", "v2")
    assert (len(found.removed), len(found.added), len(found.changed)) == (1, 0, 0)
    assert verify(store, "rare-driving@v1") == verify(store, "rare-driving@v2") == []
    for key in store.list("tables/DECISIONS/"):
        store.delete(key)
    assert publish(store).synthetic == 0


def test_groups_keep_their_split_as_drives_come(store: DiskStore, drawn: ModuleType) -> None:
    drawn.fleet(store, 1)
    alone = publish(store)
    assert (alone.train, alone.val + alone.test, alone.evaluable) == (alone.rows, 0, False)
    assert b"Not possible on this version" in store.get("datasets/rare-driving.manifests/v1.md")
    for seed in (2, 3, 4, 5):
        drawn.add_drive(store, seed)
        publish(store)
    groups = [read_manifest(store, f"rare-driving@v{n}").groups for n in range(1, 6)]
    for older, newer in itertools.pairwise(groups):
        assert older.items() <= newer.items()
    assert set(groups[-1].values()) == {"train", "val", "test"}
    assert publish(store, real_only()).synthetic == 0
    assert read_manifest(store, "rare-driving-real").groups == groups[-1]


def test_equal_content_gives_the_earlier_version_back(store: DiskStore, drawn: ModuleType) -> None:
    drawn.fleet(store, 3)
    recipe = Recipe(reference_frames_per_drive=0)
    first = publish(store, recipe)
    assert publish(store).version == "v2"
    assert publish(store, recipe) == first


def test_digest_does_not_depend_on_the_root(tmp_path: Path, drawn: ModuleType) -> None:
    stores = [DiskStore(tmp_path / name) for name in "ab"]
    for store in stores:
        drawn.fleet(store, 3)
    assert publish(stores[0]) == publish(stores[1])


def test_a_child_of_another_group_blocks_publishing(store: DiskStore, drawn: ModuleType) -> None:
    drive_id = drawn.fleet(store, 3)[0]
    _change(store, drawn, drive_id, root_group="other|2026-01-02|x")
    with pytest.raises(GateFailed, match="splits leak"):
        publish(store)
    assert store.list("datasets/") == []


def test_broken_images_are_left_out_with_a_reason(store: DiskStore, drawn: ModuleType) -> None:
    drawn.fleet(store, 3)
    whole = publish(store, Recipe(name="whole"))
    variation = read_table(store, "VARIATIONS").to_pylist()[0]
    store.put(media_key(variation["output_sha256"], "png"), b"not the image")
    store.delete(media_key(read_table(store, "VARIATIONS").to_pylist()[1]["parent_sha256"], "jpg"))
    found = publish(store)
    reasons = {item.subject: item.reason for item in read_manifest(store, found.ref).refused}
    assert (found.refused, found.synthetic, whole.synthetic) == (2, 1, 3)
    assert "hash" in reasons[variation["output_sha256"]]
    assert any("missing" in reason for reason in reasons.values())


def test_media_that_rot_after_the_first_version_are_not_written_again(store: DiskStore, drawn: ModuleType) -> None:
    drawn.fleet(store, 3)
    publish(store)
    variation = read_table(store, "VARIATIONS").to_pylist()[0]
    store.put(media_key(variation["output_sha256"], "png"), b"rotten")
    _change(store, drawn, variation["drive_id"], target_condition="night_rain")
    with pytest.raises(BadData, match="does not have the hash"):
        publish(store)
    assert [made.version for made in list_datasets(store)] == ["v1"]
    assert verify(store, "rare-driving@v1") == []


def test_frames_without_tracks_are_unlabelled_not_empty(store: DiskStore, drawn: ModuleType) -> None:
    drives = drawn.fleet(store, 3)
    store.delete(f"tables/TRACKS/batch={drawn.BATCH}/{drives[0]}.parquet")
    publish(store)
    rows = _rows(store, "rare-driving")
    assert {row["drive_id"] for row in rows if row["labels"] is None} == {drives[0]}


def test_variations_of_reference_frames_without_an_event(store: DiskStore, drawn: ModuleType) -> None:
    drive_id = drawn.fleet(store, 1)[0]
    _change(store, drawn, drive_id, event_id="", level="", scenario="reference")
    store.delete(f"tables/EVENTS/batch={drawn.BATCH}/{drive_id}.parquet")
    assert publish(store).synthetic == 1
    rows = _rows(store, "rare-driving")
    assert {(row["scenario"], row["event_id"]) for row in rows} == {("reference", "")}
    assert len(rows) == 9


def test_pull_and_what_verify_finds(store: DiskStore, drawn: ModuleType, tmp_path: Path) -> None:
    drawn.fleet(store, 3)
    made = publish(store)
    report = pull(store, made.ref, tmp_path / "out")
    assert (report.rows, report.digest, report.written) == (made.rows, made.digest, report.images)
    assert pull(store, made.ref, tmp_path / "out").written == 0
    lines = [json.loads(line) for line in (tmp_path / "out/labels.jsonl").read_text().splitlines()]
    assert len(lines) == made.rows
    assert all((tmp_path / "out" / line["image"]).is_file() for line in lines)
    image = next((tmp_path / "out/images").iterdir())
    image.write_bytes(image.read_bytes() + b"x")
    assert any("its image is missing or has hash" in problem for problem in verify_folder(tmp_path / "out"))
    publish(store, Recipe(reference_frames_per_drive=1))
    with pytest.raises(BadData, match="already holds another"):
        pull(store, "rare-driving@v2", tmp_path / "out")


def test_verify_names_tampering(store: DiskStore, drawn: ModuleType) -> None:
    drawn.fleet(store, 3)
    publish(store)
    manifest = json.loads(store.get("datasets/rare-driving.manifests/v1.json"))
    group = sorted(manifest["groups"])[0]
    manifest["digest"], manifest["groups"][group] = "0" * 64, "val" if manifest["groups"][group] != "val" else "test"
    store.put("datasets/rare-driving.manifests/v1.json", json.dumps(manifest).encode())
    problems = "\n".join(verify(store, "rare-driving@v1"))
    assert "digest of the rows is" in problems
    assert "does not lie in the split" in problems
    blob = next(file for file in Path(store.uri, "datasets/rare-driving.lance/data").rglob("*.blob"))
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 0xFF
    blob.write_bytes(bytes(data))
    assert any("its image is missing or has hash" in problem for problem in verify(store, "rare-driving@v1"))
    shutil.rmtree(Path(store.uri, "datasets/rare-driving.lance/data"))
    assert any("cannot be read" in problem for problem in verify(store, "rare-driving@v1"))


KILLED = """
import os, signal, sys
from pathlib import Path
from flywheel.publish import dataset, lake
from flywheel.store import DiskStore
step = sys.argv[2]
def die(*a, **k): os.kill(os.getpid(), signal.SIGKILL)
if step == "before tag": lake.tag = die
if step == "before manifest": DiskStore.put_if_absent = die
if step == "within delta":
    import lance
    lance.write_dataset = die
dataset.publish(DiskStore(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("step", ["before tag", "before manifest", "within delta"])
def test_kill_9_leaves_nothing_published_and_the_next_run_repairs(tmp_path: Path, drawn: ModuleType, step: str) -> None:
    store, whole = DiskStore(tmp_path / "root"), DiskStore(tmp_path / "whole")
    for each in (store, whole):
        drawn.fleet(each, 3)
        publish(each, Recipe(reference_frames_per_drive=2))
        drawn.add_drive(each, 9)
    done = subprocess.run([sys.executable, "-c", KILLED, store.uri, step], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert [made.version for made in list_datasets(store)] == ["v1"]
    assert verify(store, "rare-driving@v1") == []
    assert publish(store) == publish(whole)
    assert verify(store, "rare-driving@v2") == []


def test_clear_errors(store: DiskStore, drawn: ModuleType) -> None:
    with pytest.raises(NotEvaluable, match="no sample at all"):
        publish(store)
    with pytest.raises(BadData, match="no dataset 'nothing'"):
        verify(store, "nothing")
    with pytest.raises(BadData, match="write it as name@v1"):
        verify(store, "nothing@latest")
    store.put("datasets/broken.manifests/v1.json", b"{}")
    with pytest.raises(BadData, match="is no dataset manifest"):
        verify(store, "broken@v1")
    with pytest.raises(BadData, match="neither PNG nor JPEG"):
        image_size(b"GIF89a")
    with pytest.raises(BadData, match="ends early"):
        image_size(b"\xff\xd8\xff\xe0\x00\x10JF")
