"""The real FiftyOne with its real MongoDB: one database for the file."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from flywheel.curate.decisions import accepted, curate_batch, decide
from flywheel.curate.review import fiftyone_module, local_media, pull_review, sync_review
from flywheel.curate.review_samples import review_samples
from flywheel.errors import BadData, FlywheelError
from flywheel.store import DiskStore
from flywheel.tables import list_parts, read_table
from flywheel.types import sha256_hex

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not importlib.util.find_spec("fiftyone"), reason="the curate extra is not installed"),
    # FiftyOne's own dependencies, on import and when its database starts.
    pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Passing a class to strawberry:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:connections.. is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:No uuidRepresentation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def fo(state: Path) -> Any:
    return fiftyone_module(state)


@pytest.fixture(scope="module")
def made(handmade: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A curated root of three parents with two variations each, and the rows of its variations."""
    store = DiskStore(tmp_path_factory.mktemp("made"))
    rows = handmade.scenes(store)
    curate_batch(store, handmade.BATCH)
    return store.folder, rows


@pytest.fixture
def bench(
    store: DiskStore, made: tuple[Path, list[dict[str, Any]]], state: Path, fo: Any, request: pytest.FixtureRequest
) -> Iterator[SimpleNamespace]:
    """A copy of that root, and a dataset name of the test's own."""
    folder, rows = made
    shutil.copytree(folder, store.folder)
    name = request.node.name
    yield SimpleNamespace(store=store, rows=rows, state=state, name=name, fo=fo, sync=lambda: sync_review(store, state=state, name=name))
    if fo.dataset_exists(name):
        fo.delete_dataset(name)


def flat(bench: SimpleNamespace, slices: list[str] | None = None) -> Any:
    dataset = bench.fo.load_dataset(bench.name)
    return dataset.select_group_slices(slices or dataset.group_slices)


def test_a_group_holds_the_original_beside_its_variations(bench: SimpleNamespace) -> None:
    report = bench.sync()
    assert (report.groups, report.originals, report.variations, report.added, report.rebuilt) == (3, 3, 6, 9, True)
    dataset = bench.fo.load_dataset(bench.name)
    assert dataset.media_type == "group"
    assert sorted(dataset.group_slices) == ["dusk_clear", "night_rain", "original"]
    assert dataset.default_group_slice == "original"
    assert [len(set(group)) for group in _groups(bench)] == [3, 3, 3]
    row = next(row for row in bench.rows if row["target_condition"] == "night_rain")
    sample = flat(bench).match(bench.fo.ViewField("variation_id") == row["variation_id"]).first()
    for field in ("scenario", "level", "event_id", "drive_id", "t_ns", "generator", "prompt", "score_structure", "seed"):
        assert sample[field] == row[field], field
    assert (sample["condition"], sample["verdict"], sample["decided_by"]) == ("night_rain", "accept", "flywheel.curate")
    assert Path(sample.filepath).is_relative_to(bench.store.folder)


def _groups(bench: SimpleNamespace) -> list[list[str]]:
    found: dict[str, list[str]] = {}
    for group, name in zip(*flat(bench).values(["group.id", "group.name"]), strict=True):
        found.setdefault(group, []).append(name)
    return list(found.values())


def test_boxes_lie_where_the_objects_were_drawn(bench: SimpleNamespace) -> None:
    bench.sync()
    for sample in flat(bench):
        assert sorted(box.label for box in sample.boxes.detections) == ["car", "pedestrian", "truck"]
        for box in sample.boxes.detections:
            x, y, wide, high = box.bounding_box
            assert 0 <= x < x + wide <= 1
            assert 0 <= y < y + high <= 1
            assert box.distance_m > 5
        lead = next(box for box in sample.boxes.detections if box.label == "car")
        assert lead.bounding_box[0] < 0.5 < lead.bounding_box[0] + lead.bounding_box[2]


def test_views_queue_and_brain_are_there(bench: SimpleNamespace) -> None:
    report = bench.sync()
    dataset = bench.fo.load_dataset(bench.name)
    assert report.brain
    assert {"embedding_map", "similarity", "uniqueness"} <= set(dataset.list_brain_runs())
    assert set(report.views) == {"review queue", "side by side", "accepted", "rejected", "by scenario"}
    sizes = {name: len(dataset.load_saved_view(name)) for name in report.views}
    assert sizes == {"review queue": 3, "side by side": 9, "accepted": 6, "rejected": 0, "by scenario": 2}
    assert dataset.load_saved_view("side by side").values("group.name") == ["original", "night_rain", "dusk_clear"] * 3
    queue = dataset.load_saved_view("review queue")
    assert set(queue.values("gate")) == {"structure"}  # 0.31 against 0.30
    assert report.needs_review == 3
    similar = queue.sort_by_similarity(queue.first().id, k=1, brain_key="similarity")
    assert similar.values("id") == [queue.first().id]


def test_a_resync_touches_nothing(bench: SimpleNamespace) -> None:
    first = bench.sync()
    before = bench.fo.load_dataset(bench.name).last_modified_at
    again = bench.sync()
    assert (again.rebuilt, again.added, again.updated) == (False, 0, 0)
    assert again.inputs_digest == first.inputs_digest
    assert bench.fo.load_dataset(bench.name).last_modified_at == before


def test_new_variations_and_decisions_update_in_place(bench: SimpleNamespace, handmade: ModuleType) -> None:
    bench.sync()
    ids = set(flat(bench).values("id"))
    flat(bench).limit(1).tag_samples("look at this")
    decide(bench.store, bench.rows[0]["variation_id"], "reject", actor="ada", reason="no rain to be seen")
    handmade.scenes(bench.store, parents=1, first=3)
    report = bench.sync()
    assert (report.added, report.updated, report.removed, report.groups) == (3, 1, 0, 4)
    assert ids < set(flat(bench).values("id"))
    assert len(flat(bench).match_tags("look at this")) == 1
    assert (report.needs_review, report.rejected) == (4, 1)  # the two new ones wait for a decision; one was taken off
    sample = flat(bench).match(bench.fo.ViewField("variation_id") == bench.rows[0]["variation_id"]).first()
    assert (sample["verdict"], sample["decided_by"], sample["tags"]) == ("reject", "ada", ["rejected"])


def test_a_second_variation_of_one_target_gets_a_slice_of_its_own(bench: SimpleNamespace, handmade: ModuleType) -> None:
    bench.sync()
    first = bench.rows[0]
    again = {k: v for k, v in first.items() if k != "variation_id"} | {"seed": 99}
    handmade.write_table(
        bench.store, "VARIATIONS", handmade.rows_table("VARIATIONS", [handmade.variation(**again)]), batch_id=handmade.BATCH, part="more"
    )
    assert bench.sync().added == 1
    assert "night_rain_2" in bench.fo.load_dataset(bench.name).group_slices


def test_tags_set_in_the_app_become_decisions(bench: SimpleNamespace) -> None:
    bench.sync()
    names = sorted(row["variation_id"] for row in bench.rows)
    field = bench.fo.ViewField("variation_id")
    flat(bench).match(field == names[0]).tag_samples("reject")
    flat(bench).match(field == names[1]).tag_samples("accept")
    flat(bench).match(field == names[2]).tag_samples(["accept", "reject"])
    report = pull_review(bench.store, state=bench.state, actor="ada", name=bench.name)
    assert (report.accepted, report.rejected, report.conflicts) == (1, 1, (names[2],))
    assert accepted(bench.store) == set(names) - {names[0]}
    rows = [row for row in read_table(bench.store, "DECISIONS").to_pylist() if row["actor_kind"] == "person"]
    assert sorted((row["subject_id"], row["verdict"], row["actor"]) for row in rows) == [
        (names[0], "reject", "ada"), (names[1], "accept", "ada"),
    ]  # fmt: skip
    tags = dict(zip(*flat(bench).values(["variation_id", "tags"]), strict=True))
    assert (tags[names[0]], tags[names[1]]) == (["rejected"], ["accepted"])
    assert {"accept", "reject"} <= set(tags[names[2]])
    parts = list_parts(bench.store, "DECISIONS")
    assert pull_review(bench.store, state=bench.state, actor="ada", name=bench.name).accepted == 0
    assert list_parts(bench.store, "DECISIONS") == parts


def test_a_pull_cut_short_is_finished_without_a_second_decision(bench: SimpleNamespace) -> None:
    bench.sync()
    subject = bench.rows[0]["variation_id"]
    flat(bench).match(bench.fo.ViewField("variation_id") == subject).tag_samples("reject")
    decide(bench.store, subject, "reject", actor="ada", reason="judged by eye in review")  # as far as it had come
    report = pull_review(bench.store, state=bench.state, actor="ada", name=bench.name)
    assert (report.rejected, report.repeated) == (0, 1)
    assert sum(row["actor_kind"] == "person" for row in read_table(bench.store, "DECISIONS").to_pylist()) == 1


def test_a_sync_cut_short_is_completed(bench: SimpleNamespace) -> None:
    bench.sync()
    dataset = bench.fo.load_dataset(bench.name)
    dataset.info.pop("digest")
    dataset.save()
    dataset.delete_samples(flat(bench).limit(2).values("id"))
    report = bench.sync()
    assert (report.rebuilt, report.added, report.updated) == (True, 2, 0)
    assert sorted(len(group) for group in _groups(bench)) == [3, 3, 3]


def test_media_of_a_remote_store_are_copied_once(bench: SimpleNamespace, tmp_path: Path) -> None:
    class Remote:
        """A store that is no folder here: S3 as the review sees it."""

        uri, fetched = "s3://bucket/root", 0

        def get(self, key: str) -> bytes:
            self.fetched += key.startswith("media/")
            return bytes(bench.store.get(key))

        def list(self, prefix: str = "") -> list[str]:
            return list(bench.store.list(prefix))

    remote = Remote()
    samples = review_samples(remote)  # type: ignore[arg-type]
    files = local_media(remote, samples, cache=tmp_path / "cache")  # type: ignore[arg-type]
    assert len(files) == remote.fetched == 9
    assert all(sha256_hex(file.read_bytes()) == sha256 and file.is_relative_to(tmp_path / "cache") for sha256, file in files.items())
    assert local_media(remote, samples, cache=tmp_path / "cache") == files  # type: ignore[arg-type]
    assert remote.fetched == 9


def test_an_image_that_is_not_there_is_counted_and_asked_for_again(bench: SimpleNamespace) -> None:
    gone = bench.store.folder / "media" / bench.rows[0]["output_sha256"][:2] / f"{bench.rows[0]['output_sha256']}.png"
    data = gone.read_bytes()
    gone.unlink()
    assert (bench.sync().missing_media, len(flat(bench))) == (1, 8)
    gone.write_bytes(data)
    again = bench.sync()
    assert (again.missing_media, again.added, len(flat(bench))) == (0, 1, 9)


def test_errors_say_what_to_do(bench: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="Run `flywheel review` first"):
        pull_review(bench.store, state=bench.state, actor="ada", name="no-such-review")
    with pytest.raises(FlywheelError, match="in a process of its own"):
        fiftyone_module(tmp_path / "another")


def test_the_plugin_records_decisions_on_the_selected(bench: SimpleNamespace) -> None:
    import fiftyone.operators as foo

    bench.sync()
    dataset, names = bench.fo.load_dataset(bench.name), {row["variation_id"] for row in bench.rows[:2]}
    keys, ids = flat(bench).values(["key", "id"])
    selected = [i for key, i in zip(keys, ids, strict=True) if key in names or key.startswith("original")]
    ctx = {"dataset": dataset, "selected": selected, "params": {"actor": "ada", "reason": "the street changed shape"}}
    result = foo.execute_operator("@flywheel/review/reject_selected", ctx=ctx)
    result.raise_exceptions()
    assert result.result == {"decided": 2}
    assert accepted(bench.store) == {row["variation_id"] for row in bench.rows} - names
    assert set(dataset.load_saved_view("rejected").values("variation_id")) == names


def test_an_empty_root_gives_an_empty_dataset(store: DiskStore, state: Path, fo: Any) -> None:
    report = sync_review(store, state=state, name="empty")
    assert (report.groups, report.variations, report.brain) == (0, 0, False)
    fo.delete_dataset("empty")
