from itertools import pairwise

import pytest

from flywheel.errors import GateFailed
from flywheel.release.stages import STAGES, Command, Rollout, includes, start, step

FIRST = start(release_version=1, model_id="m1", replaces=None, staged=True)
SECOND = start(release_version=2, model_id="m2", replaces=FIRST, staged=True)


def _taken(rollout: Rollout) -> set[int]:
    return {i for i in range(4000) if includes(rollout, f"vehicle-{i}")}


def test_stages_only_grow_and_end_with_everyone() -> None:
    seen, rollout = [_taken(SECOND)], SECOND
    while rollout.state != "complete":
        rollout = step(rollout, Command.ADVANCE)
        seen.append(_taken(rollout))
    assert all(before < after for before, after in pairwise(seen))
    assert [len(found) / 40 for found in seen] == pytest.approx([percent for _, percent in STAGES], abs=2.5)
    with pytest.raises(GateFailed, match="reached every vehicle"):
        step(rollout, Command.ADVANCE)


def test_buckets_differ_between_releases() -> None:
    one, two = (SECOND.model_copy(update={"release_version": version, "stage": 1}) for version in (2, 3))
    assert _taken(one) != _taken(two)


def test_halt_stops_and_advance_goes_on() -> None:
    halted = step(SECOND, Command.HALT)
    assert (halted.percent, _taken(halted)) == (0.0, set())
    with pytest.raises(GateFailed, match="halted already"):
        step(halted, Command.HALT)
    again = step(halted, Command.ADVANCE)
    assert (again.state, again.stage) == ("rolling", SECOND.stage)
    assert again.history[-2:] == ("HALT: halted at canary (0%)", "ADVANCE: rolling at canary (1%)")


def test_roll_back_ends_a_release_and_the_first_has_nothing_behind_it() -> None:
    ended = step(SECOND, Command.ROLLBACK)
    assert (ended.state, ended.percent) == ("rolled_back", 0.0)
    for command in (Command.ADVANCE, Command.HALT, Command.ROLLBACK):
        with pytest.raises(GateFailed, match="was rolled back"):
            step(ended, command)
    with pytest.raises(GateFailed, match="nothing to roll back to"):
        step(FIRST, Command.ROLLBACK)
    assert step(ended, Command.STATUS) == ended
