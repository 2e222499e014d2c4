from types import ModuleType
from typing import Any

import numpy as np
import pytest

from flywheel.curate.decisions import accepted, curate_batch, decide
from flywheel.curate.rules import Thresholds
from flywheel.errors import BadData
from flywheel.store import DiskStore
from flywheel.tables import list_parts, read_table, rows_table, write_table
from flywheel.verdicts import current

BATCH = "b-1"


@pytest.fixture
def parent(store: DiskStore, handmade: ModuleType) -> str:
    return str(handmade.media(store, handmade.draw([], 7)))


@pytest.fixture
def good(handmade: ModuleType, parent: str) -> dict[str, Any]:
    return dict(handmade.variation(parent_sha256=parent, embedding=handmade.direction(1)))


def write(store: DiskStore, *rows: dict[str, Any], batch: str = BATCH, part: str = "drive-1") -> None:
    write_table(store, "VARIATIONS", rows_table("VARIATIONS", list(rows)), batch_id=batch, part=part)


def verdict(store: DiskStore, subject: str) -> dict[str, Any]:
    return current(read_table(store, "DECISIONS"))[subject]


def test_a_variation_that_passes_every_gate_is_accepted(store: DiskStore, good: dict[str, Any]) -> None:
    write(store, good)
    report = curate_batch(store, BATCH)
    assert (report.variations, report.decided, report.accepted, report.rejected) == (1, 1, 1, 0)
    assert accepted(store) == {good["variation_id"]}
    row = verdict(store, good["variation_id"])
    assert (row["gate"], row["score"], row["threshold"], row["actor_kind"]) == ("condition", 0.9, 0.5, "rule")
    assert row["rule_version"] == Thresholds().rule_version


@pytest.mark.parametrize(
    ("change", "gate", "reason"),
    [
        ({"status": "failed", "reason": "out of memory", "output_sha256": None}, "run", "generation failed: out of memory"),
        ({"output_sha256": None}, "run", "generation done, but no output was recorded"),
        ({"score_integrity": 0.9}, "integrity", "integrity 0.900 is below 0.99"),
        ({"score_integrity": None}, "integrity", "score missing: score_integrity is empty"),
        ({"score_structure": 0.2999}, "structure", "structure 0.299 is below 0.3"),
        ({"score_structure": None}, "structure", "score missing: score_structure is empty"),
        ({"score_structure": float("nan")}, "structure", "score missing: score_structure is empty"),
        ({"score_labels": 0.4999}, "labels", "labels 0.499 is below 0.5"),
        ({"score_labels": None}, "labels", "score missing: score_labels is empty"),
        ({"score_content": None}, "content", "score missing: score_content is empty"),
        ({"score_condition": 0.1, "score_change": 0.0}, "condition", "condition 0.100 is below 0.5"),
        ({"score_condition": None}, "condition", "score missing: score_condition is empty"),
        ({"score_change": 0.09}, "change", "change 0.090 is below 0.1"),
        ({"score_change": None}, "change", "score missing: score_change is empty"),
        ({"embedding": None}, "duplicate", "score missing: embedding is empty"),
        ({"embedding": [1.0, 0.0]}, "duplicate", "score missing: embedding has 2 numbers, the encoder gives 1280"),
        ({"parent_sha256": "f" * 64}, "duplicate", f"score missing: parent frame {'f' * 64} cannot be read"),
    ],
)
def test_the_first_failing_gate_names_the_reason(
    store: DiskStore, good: dict[str, Any], change: dict[str, Any], gate: str, reason: str
) -> None:
    write(store, good | change)
    report = curate_batch(store, BATCH)
    row = verdict(store, good["variation_id"])
    assert (row["verdict"], row["gate"], row["reason"]) == ("reject", gate, reason)
    assert report.rejected_by_gate == {gate: 1}
    assert report.by_scenario["cut_in"].rejected == report.by_condition["night_rain"].rejected == 1
    assert accepted(store, BATCH) == set()
    assert curate_batch(store, BATCH).decided == 0


def test_a_score_at_its_threshold_passes(store: DiskStore, good: dict[str, Any]) -> None:
    limits = Thresholds()
    write(
        store,
        good | {f"score_{gate}": getattr(limits, gate) for gate in ("integrity", "structure", "labels", "content", "condition", "change")},
    )
    assert curate_batch(store, BATCH).accepted == 1


def test_near_duplicates_keep_the_best_structured(store: DiskStore, good: dict[str, Any], handmade: ModuleType) -> None:
    vector = np.array(good["embedding"])
    near = handmade.variation(parent_sha256=good["parent_sha256"], embedding=(vector + 1e-4).tolist(), score_structure=0.9, seed=2)
    far = handmade.variation(parent_sha256=good["parent_sha256"], embedding=handmade.direction(5), seed=3)
    write(store, good, near)
    write(store, far, part="drive-2")
    report = curate_batch(store, BATCH)
    assert accepted(store) == {near["variation_id"], far["variation_id"]}
    assert report.rejected_by_gate == {"duplicate": 1}
    assert verdict(store, good["variation_id"])["reason"].startswith(f"near-duplicate of {near['variation_id']} (cosine 1.0000)")


def test_a_later_copy_of_a_kept_variation_is_rejected(store: DiskStore, good: dict[str, Any], handmade: ModuleType) -> None:
    write(store, good)
    curate_batch(store, BATCH)
    copy = handmade.variation(parent_sha256=good["parent_sha256"], embedding=good["embedding"], score_structure=0.99, seed=9)
    write(store, copy, part="drive-2")
    assert curate_batch(store, BATCH).decided == 1
    assert accepted(store) == {good["variation_id"]}


def test_a_copy_of_another_parent_frame_is_rejected(store: DiskStore, good: dict[str, Any], handmade: ModuleType) -> None:
    image = handmade.draw([], 8)
    other = handmade.media(store, image)
    copy = handmade.variation(parent_sha256=good["parent_sha256"], embedding=handmade.embed([image])[0].tolist(), seed=4)
    sibling = handmade.variation(parent_sha256=other, embedding=handmade.direction(3), seed=5)
    write(store, copy, sibling)
    curate_batch(store, BATCH)
    assert verdict(store, copy["variation_id"])["reason"].startswith(f"near-duplicate of {other}")
    assert accepted(store) == {sibling["variation_id"]}


def test_a_rerun_writes_nothing(store: DiskStore, good: dict[str, Any]) -> None:
    write(store, good, good | {"variation_id": "var-2", "score_change": 0.0})
    first = curate_batch(store, BATCH)
    before = {key: store.get(key) for key in store.list()}
    again = curate_batch(store, BATCH)
    assert {key: store.get(key) for key in store.list()} == before
    assert again == first.model_copy(update={"decided": 0})


def test_new_thresholds_append_and_old_ones_may_return(store: DiskStore, good: dict[str, Any]) -> None:
    write(store, good)
    strict = Thresholds(condition=0.95)
    seen = [curate_batch(store, BATCH, thresholds=t).accepted for t in (Thresholds(), strict, Thresholds(), strict)]
    assert seen == [1, 0, 1, 0]
    assert len(list_parts(store, "DECISIONS")) == 4
    assert read_table(store, "DECISIONS").num_rows == 4


def test_a_retried_generation_is_judged_anew(store: DiskStore, good: dict[str, Any]) -> None:
    write(store, good | {"status": "failed", "reason": "killed"})
    assert curate_batch(store, BATCH).accepted == 0
    write(store, good)
    assert curate_batch(store, BATCH).accepted == 1


def test_a_person_stands_over_every_rule(store: DiskStore, good: dict[str, Any]) -> None:
    write(store, good)
    curate_batch(store, BATCH)
    subject = good["variation_id"]
    decide(store, subject, "reject", actor="ada", reason="the truck has two shadows")
    assert accepted(store) == set()
    report = curate_batch(store, BATCH, thresholds=Thresholds(change=0.05))
    assert (report.decided, report.accepted, report.by_person, report.rejected_by_gate) == (1, 0, 1, {"person": 1})
    decide(store, subject, "accept", actor="bob", reason="a second lamp, it is right")
    assert accepted(store) == {subject}
    assert read_table(store, "DECISIONS").num_rows == 4


def test_the_same_word_twice_is_two_decisions(store: DiskStore, good: dict[str, Any]) -> None:
    write(store, good)
    first, second = (decide(store, good["variation_id"], "reject", actor="ada", reason="blurred") for _ in range(2))
    assert first != second
    times = [row["decided_t_ns"] for row in read_table(store, "DECISIONS").to_pylist()]
    assert len(set(times)) == 2


@pytest.mark.parametrize(
    ("subject", "verdict_", "actor", "reason", "says"),
    [
        ("var-none", "accept", "ada", "good", "no variation"),
        ("", "maybe", "ada", "good", "not one of"),
        ("", "accept", " ", "good", "a name and a reason"),
        ("", "accept", "ada", "", "a name and a reason"),
    ],
)
def test_bad_decisions_are_refused(
    store: DiskStore, good: dict[str, Any], subject: str, verdict_: str, actor: str, reason: str, says: str
) -> None:
    write(store, good)
    with pytest.raises(BadData, match=says):
        decide(store, subject or good["variation_id"], verdict_, actor=actor, reason=reason)
    assert list_parts(store, "DECISIONS") == []


def test_what_has_no_output_cannot_be_accepted(store: DiskStore, good: dict[str, Any]) -> None:
    write(store, good | {"status": "failed", "output_sha256": None})
    with pytest.raises(BadData, match="nothing to accept"):
        decide(store, good["variation_id"], "accept", actor="ada", reason="I like it")


def test_an_empty_batch_is_no_error(store: DiskStore) -> None:
    report = curate_batch(store, "b-nothing")
    assert (report.variations, report.decided, list_parts(store, "DECISIONS")) == (0, 0, [])


def test_the_floors_are_the_calibrated_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    from flywheel.curate import rules
    from flywheel.gate_limits import floor_of, read_limits

    monkeypatch.setattr(rules, "floor_of", floor_of)
    limits = Thresholds().model_dump()
    assert {name: limits[name] for name in read_limits().floors} == read_limits().floors


def test_a_clip_must_keep_its_motion_too(store: DiskStore, good: dict[str, Any]) -> None:
    clip = good | {"clip_t_ns": [1, 2, 3]}
    write(store, clip)
    assert curate_batch(store, BATCH).rejected == 1
    assert verdict(store, good["variation_id"])["reason"] == "score missing: score_motion is empty"
    write(store, clip | {"score_motion": 0.9, "score_flow": 0.4})
    curate_batch(store, BATCH)
    assert verdict(store, good["variation_id"])["reason"] == "flow 0.400 is below 0.5"
    write(store, clip | {"score_motion": 0.9, "score_flow": 0.8})
    assert curate_batch(store, BATCH).accepted == 1
