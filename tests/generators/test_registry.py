"""Generators by name."""

from importlib.metadata import EntryPoint

import pytest

from flywheel.errors import BadData
from generators import registry
from generators.perturb import PerturbGenerator


def test_the_three_generators_have_their_names() -> None:
    assert {"bundled", "diffusers", "perturb"} <= set(registry.names())
    assert registry.names() == sorted(registry.names())
    assert isinstance(registry.load("perturb"), PerturbGenerator)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(BadData, match=r"'magic'.*bundled, diffusers, perturb"):
        registry.load("magic")


def test_an_option_it_does_not_take_is_named() -> None:
    with pytest.raises(BadData, match=r"'perturb'.*\['strength'\]"):
        registry.load("perturb", strength=1)


def test_an_installed_plug_in_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint(name="theirs", value="generators.perturb:PerturbGenerator", group=registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda *, group: [point] if group == registry.GROUP else [])
    assert registry.names() == ["bundled", "diffusers", "perturb", "theirs"]
    assert isinstance(registry.load("theirs"), PerturbGenerator)
