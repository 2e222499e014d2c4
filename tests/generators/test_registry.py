"""Generators by name."""

from importlib.metadata import EntryPoint

import pytest

from flywheel.errors import BadData
from flywheel.generate.engines import described
from generators import registry
from generators.perturb import PerturbGenerator

BUILT_IN = {
    "bundled", "controlnet", "cosmos-predict", "cosmos-transfer", "diffusers", "flux", "inpaint", "perturb", "pix2pix", "sdxl",
}  # fmt: skip


def test_the_engines_have_their_names() -> None:
    assert set(registry.names()) >= BUILT_IN == set(registry.GENERATORS)
    assert registry.names() == sorted(registry.names())
    assert isinstance(registry.load("perturb"), PerturbGenerator)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(BadData, match=r"'magic'.*bundled, controlnet, .*, sdxl"):
        registry.load("magic")


def test_an_option_it_does_not_take_is_named() -> None:
    with pytest.raises(BadData, match=r"'perturb'.*\['strength'\]"):
        registry.load("perturb", strength=1)


def test_an_installed_plug_in_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint(name="theirs", value="generators.perturb:PerturbGenerator", group=registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda *, group: [point] if group == registry.GROUP else [])
    assert set(registry.names()) == BUILT_IN | {"theirs"}
    assert isinstance(registry.load("theirs"), PerturbGenerator)


def test_every_engine_says_what_it_is_and_needs() -> None:
    for name, factory in registry.GENERATORS.items():
        engine = described(name, factory)
        assert engine.name == name and engine.what.endswith(".") and engine.draws and not engine.missing
        assert engine.gpu == bool(engine.classes and name != "bundled") and ("pipeline" in engine.options) == engine.gpu


def test_a_plug_in_that_says_nothing_is_listed_by_its_docstring() -> None:
    def theirs() -> None:
        """Their own engine. More."""

    assert described("theirs", theirs).what == "Their own engine. More."
