import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.publish.splits import assign_splits, check_splits

NAMES = st.sets(st.text(min_size=1, max_size=12), max_size=40)


@given(NAMES)
def test_every_split_is_filled_from_three_groups_on(groups: set[str]) -> None:
    found = assign_splits(groups)
    assert found.keys() == groups
    assert len(set(found.values())) == min(len(groups), 3)
    if len(groups) == 1:
        assert set(found.values()) == {"train"}


@given(NAMES, NAMES)
def test_a_group_keeps_its_split_when_others_come(first: set[str], later: set[str]) -> None:
    before = assign_splits(first)
    after = assign_splits(first | later, kept=before)
    assert {group: after[group] for group in first} == before


def test_shares_are_kept_over_many_groups() -> None:
    found = list(assign_splits(f"vehicle-{i}" for i in range(200)).values())
    assert {split: found.count(split) for split in ("train", "val", "test")} == {"train": 140, "val": 30, "test": 30}


def _row(sample_id: str, **other: object) -> dict[str, object]:
    base = {"sample_id": sample_id, "split": "train", "root_group": "g", "drive_id": "d", "media_sha256": sample_id,
            "parent_sample_id": None, "synthetic": False}  # fmt: skip
    return {**base, **other}


def test_sound_rows_pass() -> None:
    assert check_splits([_row("a"), _row("b", parent_sample_id="a", synthetic=True)]) == []


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([_row("a"), _row("b", split="test")], "root group 'g' lies in more than one split"),
        ([_row("a"), _row("b", split="test", root_group="h")], "drive 'd' lies in more than one split"),
        ([_row("a"), _row("b", split="test", root_group="h", drive_id="e", media_sha256="a")], "image a lies in more than one split"),
        ([_row("a"), _row("b", split="test", root_group="h", drive_id="e", parent_sample_id="a", synthetic=True)], "its split is 'test'"),
        ([_row("b", parent_sample_id="a", synthetic=True)], "its parent a is not in the dataset"),
        ([_row("b", synthetic=True)], "names no parent"),
    ],
)
def test_leaks_are_named(rows: list[dict[str, object]], text: str) -> None:
    assert any(text in problem for problem in check_splits(rows))
