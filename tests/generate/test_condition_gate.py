"""The condition gate: what must change has to change, what must stay has to stay, and no probe means no score."""

from pathlib import Path

import pytest
from generate_drives import scene

from flywheel import condition_probe
from flywheel.fleet.render import render_many
from flywheel.fleet.scene import Actor, Area, Block, Instant, Marking, Strip, World
from flywheel.gate_limits import read_limits
from flywheel.generate.gates import Sample, condition_reached, score_batch
from flywheel.types import LIGHTINGS, WEATHERS, Condition

DAY, NIGHT_RAIN = Condition(), Condition(lighting="night", weather="rain")
NIGHT, DAY_FOG = Condition(lighting="night"), Condition(weather="fog")


def _look(**chances: float) -> dict[str, float]:
    return {name: chances.get(name, 0.0) for name in (*LIGHTINGS, *WEATHERS)}


SURE_DAY = _look(day=1.0, clear=1.0)


def test_both_lighting_and_weather_must_be_reached() -> None:
    reached = condition_reached(SURE_DAY, _look(night=0.9, rain=0.95), source=DAY, target=NIGHT_RAIN)
    assert reached == pytest.approx(0.9)
    assert condition_reached(SURE_DAY, _look(night=0.9, clear=0.9), source=DAY, target=NIGHT_RAIN) == 0.0


def test_an_unchanged_copy_reaches_nothing_even_where_the_probe_is_wrong() -> None:
    biased = _look(day=0.3, night=0.7, clear=1.0)
    assert condition_reached(biased, biased, source=DAY, target=NIGHT) == 0.0


def test_what_must_stay_is_measured_against_the_parent() -> None:
    unsure = _look(day=0.6, night=0.4, clear=1.0)
    kept = condition_reached(unsure, _look(day=0.6, night=0.4, fog=0.8, clear=0.2), source=DAY, target=DAY_FOG)
    lost = condition_reached(unsure, _look(day=0.1, night=0.9, fog=0.8, clear=0.2), source=DAY, target=DAY_FOG)
    assert kept == pytest.approx(0.8) and lost == pytest.approx(1 / 6)


def _views(names: tuple[str, ...]) -> dict[str, object]:
    """One street under each condition."""
    lane = ((-50.0, -1.75), (250.0, -1.75)), ((-50.0, 1.75), (250.0, 1.75))
    world = World(
        lanes=tuple(Strip(line=line, width_m=3.5) for line in lane),
        markings=(Marking(line=((-50.0, 0.0), (250.0, 0.0)), dashed=True),),
        crosswalks=(Area(outline=((40.0, -3.5), (43.0, -3.5), (43.0, 3.5), (40.0, 3.5))),),
        blocks=tuple(
            Block(x_m=15.0 + 22 * k, y_m=side * 14.0, heading_rad=0.0, length_m=16.0, width_m=8.0, height_m=7.0 + 2 * k, seed=k)
            for k in range(5)
            for side in (-1, 1)
        ),
    )
    car = Actor(
        actor_id="1", cls="car", x_m=22.0, y_m=-1.75, heading_rad=0.0, length_m=4.6, width_m=1.85, height_m=1.5, speed_mps=8.0, seed=3
    )
    instant = Instant(t_ns=10**9, ego_x_m=0.0, ego_y_m=-1.75, ego_heading_rad=0.0, ego_speed_mps=8.0, actors=(car,))
    drawn = render_many(world, instant, [Condition.parse(name) for name in names])
    return {name: view.rgb for name, view in zip(names, drawn, strict=True)}


def test_true_renders_pass_every_gate_and_copies_and_wrong_conditions_do_not() -> None:
    views = _views(("day_clear", "night_clear", "day_snow"))
    day = views["day_clear"]
    good, copy, wrong = score_batch([Sample(day, out, DAY, NIGHT, []) for out in (views["night_clear"], day, views["day_snow"])])  # type: ignore[arg-type]
    assert all((getattr(good, gate) or 0.0) >= floor for gate, floor in read_limits().floors.items())
    assert copy.condition is not None and copy.condition < 0.1 and copy.change == 0.0
    assert wrong.condition is not None and wrong.condition < 0.2


def test_without_the_probe_there_is_no_score(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    monkeypatch.setattr(condition_probe, "WEIGHTS", tmp_path / "absent.safetensors")
    condition_probe._layer.cache_clear()
    try:
        scores = score_batch([Sample(scene(), scene(shift=3), DAY, NIGHT, [])])[0]
    finally:
        condition_probe._layer.cache_clear()
    assert scores.condition is None and scores.columns()["score_condition"] is None
    assert "every variation will be rejected" in caplog.text
