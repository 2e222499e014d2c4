"""The classical baseline."""

import numpy as np
import pytest
from generator_items import frame, item
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.generate.protocol import ENHANCED_MEDIA
from flywheel.types import CONDITIONS, Condition
from generators.perturb import PerturbGenerator, perturb, to_display, to_linear

DAY = Condition()
FRAME = frame(90, 160)


@pytest.mark.parametrize("target", CONDITIONS, ids=lambda c: c.name)
@pytest.mark.parametrize("source", [Condition(), Condition(lighting="night", weather="rain")], ids=lambda c: c.name)
def test_every_target_changes_the_frame_and_equal_conditions_do_not(source: Condition, target: Condition) -> None:
    drawn = perturb(FRAME, source=source, target=target, seed=3)
    assert drawn.shape == FRAME.shape
    assert drawn.dtype == np.uint8
    assert np.array_equal(drawn, perturb(FRAME, source=source, target=target, seed=3))
    gap = np.abs(drawn.astype(int) - FRAME).mean()
    assert gap == 0 if source == target else gap > 4


def test_targets_look_like_what_they_are_called() -> None:
    by = {c.name: perturb(FRAME, source=DAY, target=c, seed=0).astype(float) for c in CONDITIONS}
    assert by["night_clear"].mean() < by["dusk_clear"].mean() < by["day_clear"].mean()
    assert by["day_fog"].std() < by["day_clear"].std()
    assert by["day_snow"][60:].mean() > by["day_clear"][60:].mean(), "the ground whitens"
    assert by["low_sun_clear"][..., 0].mean() > by["low_sun_clear"][..., 2].mean() + 10, "a low sun is warm"


def test_only_what_falls_depends_on_the_seed() -> None:
    def drawn(target: str, seed: int) -> bytes:
        return perturb(FRAME, source=DAY, target=Condition.parse(target), seed=seed).tobytes()

    assert drawn("day_rain", 1) != drawn("day_rain", 2)
    assert drawn("day_snow", 1) != drawn("day_snow", 2)
    assert drawn("night_fog", 1) == drawn("night_fog", 2)


def test_display_values_survive_linear_light() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)
    assert np.array_equal(to_display(to_linear(levels)), levels)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 40), width=st.integers(1, 40), level=st.integers(0, 255), source=st.sampled_from(CONDITIONS),
    target=st.sampled_from(CONDITIONS), seed=st.integers(0, 2**63 - 1),
)  # fmt: skip
def test_any_frame_gives_a_frame(height: int, width: int, level: int, source: Condition, target: Condition, seed: int) -> None:
    rgb = np.full((height, width, 3), level, np.uint8)
    assert perturb(rgb, source=source, target=target, seed=seed).shape == rgb.shape


def test_the_generator_redraws_in_order_and_leaves_its_input_alone() -> None:
    generator, items = PerturbGenerator(), [item("day_fog"), item("night_rain", rgb=frame(30, 50)), item("day_clear")]
    before = [one.rgb.copy() for one in items]
    drawn = generator.generate(items)
    assert [out.shape for out in drawn] == [one.rgb.shape for one in items]
    assert np.array_equal(drawn[2], items[2].rgb)
    assert all(np.array_equal(a, one.rgb) for a, one in zip(before, items, strict=True))
    assert generator.info.digital_source_type == ENHANCED_MEDIA
    assert len(generator.info.weights_sha256) == 64
