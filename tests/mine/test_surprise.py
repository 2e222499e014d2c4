"""The learned stack learns from other groups only; a steady drive surprises nobody, sudden braking surprises both stacks."""

from dataclasses import replace

import numpy as np
import pytest
from mined_drives import Build, at_ns, ramp

from flywheel.errors import NotEvaluable
from flywheel.mine.prepare import Drive
from flywheel.mine.surprise import Moments, _learned, moments


def test_a_steady_drive_is_foreseen() -> None:
    found = moments(Build().drive())
    assert len(found.t_ns) == 15 and found.t_ns[0] == at_ns(2.0)
    assert np.abs(found.classical - found.driven).max() < 0.05


def test_sudden_braking_is_not() -> None:
    found = moments(Build(speed=ramp((0, 14), (10, 14), (12, 4), (20, 4))).drive())
    off = np.hypot(*(found.classical - found.driven).T)
    assert int(found.t_ns[off.argmax()]) in (at_ns(9.0), at_ns(10.0)) and off.max() > 10.0


def test_the_learned_stack_knows_nothing_of_the_group_it_predicts() -> None:
    rng = np.random.default_rng(1)

    def made(group: str, gain: float) -> Moments:
        known = np.column_stack([np.ones(200), rng.normal(size=(200, 2))])
        zero = np.zeros((200, 2))
        return Moments(group, group, np.arange(200), known, zero, known[:, 1:] * gain)

    drives = [made("a", 2.0), made("b", 2.0), made("c", 5.0)]
    learned = _learned(drives)
    assert np.abs(learned[2] - drives[2].known[:, 1:] * 2.0).max() < 0.1
    assert np.abs(learned[0] - drives[0].driven).max() > 0.5
    alone = _learned([replace(drives[0], group="only")])
    assert np.abs(alone[0]).max() == pytest.approx(0.0, abs=1e-9)


def test_without_a_pose_it_is_not_evaluable() -> None:
    with pytest.raises(NotEvaluable, match="no pose"):
        moments(Drive(Build(without=("x_m", "y_m")).tables()))
