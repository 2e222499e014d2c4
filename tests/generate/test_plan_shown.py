"""A plan, what became of it, and a variation: in the terminal, as JSON, in Dagster, as a page."""

import json
from pathlib import Path
from typing import Any

import pytest
from generate_drives import BATCH, Darkening
from typer.testing import CliRunner

from flywheel import show
from flywheel.cli import app
from flywheel.generate.plan import Plan, pinned_plan, plan_batch
from flywheel.generate.plot import plan_plot
from flywheel.generate.run import run_plan
from flywheel.links import follow
from flywheel.look.variation import find_variation
from flywheel.store import Store
from flywheel.tables import rows_table, write_table


@pytest.fixture
def landed(store: Store) -> Store:
    """The hand-made drives as a landed batch, which commands can name."""
    store.put(f"landing/{BATCH}/_MANIFEST.json", b"[]")
    return store


@pytest.fixture
def drawn(landed: Store) -> tuple[Store, Plan]:
    """Three variations, the first of them rejected."""
    generator = Darkening()
    plan = plan_batch(landed, BATCH, generator=generator.info, budget=3)
    run_plan(landed, plan, generator)
    said = {"decision_id": "d", "subject_id": plan.requests[0].variation_id, "verdict": "reject", "gate": "structure", "reason": "moved",
            "actor_kind": "rule", "actor": "t", "rule_version": "1", "decided_t_ns": 1, "score": 0.1, "threshold": 0.3}  # fmt: skip
    write_table(landed, "DECISIONS", rows_table("DECISIONS", [said]), batch_id=BATCH, part="rule")
    return landed, plan


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal in which no cell is folded."""
    monkeypatch.setattr(show.out, "width", 400)


def said(store: Store, *words: str) -> str:
    found = CliRunner().invoke(app, [*words, "--root", store.uri], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_a_dry_run_shows_cells_reasons_and_the_expected_change(landed: Store) -> None:
    words = ("generate", "--generator", "perturb", "--budget", "5", "--dry-run")
    shown = said(landed, *words)
    assert "5 of 5, drawn by perturb" in shown and "never driven" in shown and "first to show" in shown
    assert "expected change of coverage (nothing judged yet; real exposure stays" in shown and "pairs of ODD values shown" in shown
    rows: list[dict[str, Any]] = json.loads(said(landed, *words, "--json"))
    assert len(rows) == 5 and all(row["cell"]["condition"] == row["target_condition"] and row["cell"]["why"] for row in rows)
    assert pinned_plan(landed, BATCH) is None and not landed.list("tables/VARIATIONS/")


def test_plan_and_coverage_show_what_became_of_it(drawn: tuple[Store, Plan]) -> None:
    store, plan = drawn
    (found,) = json.loads(said(store, "generate", "plan", "--json"))
    assert found["effect"]["drawn"] == 3 and len(found["plan"]["requests"]) == 3
    assert sorted(cell["waiting"] + cell["rejected"] for cell in found["effect"]["cells"]) == sorted(c.planned for c in plan.chosen())
    shown = said(store, "coverage")
    assert f"coverage before and now, plan 1 of batch {BATCH}, budget 3" in shown and "0% of 1 accepted so far" in shown


def test_dagster_shows_the_cells_and_a_map(drawn: tuple[Store, Plan]) -> None:
    from assets.generate import _plan_metadata

    _, plan = drawn
    assert plan_plot(plan).startswith(b"\x89PNG")
    shown = _plan_metadata(plan)
    assert shown["budget"] == 3 and "never driven" in shown["cells"].value and "flywheel:drive-" in shown["requests"].value
    assert shown["map"].value.startswith("![picture](data:image/png")


def test_a_variation_leads_back_to_its_drive_frame_and_event(drawn: tuple[Store, Plan], tmp_path: Path) -> None:
    store, plan = drawn
    request = plan.requests[0]
    found = json.loads(said(store, "variation", "show", request.variation_id[:20], "--json"))
    assert follow(found["link"]) == (request.drive_id, request.camera, request.t_ns, request.event_id)
    assert found["event"]["event_id"] == request.event_id and found["source_name"] == f"{request.drive_id}.mcap"
    assert (found["verdict"], found["decisions"][0]["reason"]) == ("reject", "moved") and "structure" in found["scores"]
    assert store.exists(found["parent"]) and store.exists(found["output"]) and found["papers"] == []
    page, picture = tmp_path / "v.html", tmp_path / "v.png"
    said(store, "variation", "show", request.variation_id, "--out", str(page))
    said(store, "variation", "show", request.variation_id, "--out", str(picture))
    assert "data:image/png;base64," in page.read_text() and found["link"] in page.read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_an_unknown_or_unclear_variation_names_what_is_near(drawn: tuple[Store, Plan]) -> None:
    from flywheel.errors import BadData

    store, plan = drawn
    with pytest.raises(BadData, match="could be 3 variations"):
        find_variation(store, "var-")
    with pytest.raises(BadData, match=plan.requests[0].variation_id[:12] + "|near it are"):
        find_variation(store, "var-zzzz")
    with pytest.raises(BadData, match="no link to a frame"):
        find_variation(store, "flywheel:nowhere")


def test_a_killed_run_does_nothing_twice(tmp_path: Path) -> None:
    """kill -9 in a process of its own; `python -m benchmarks.generate_kills` does it with 500 requests."""
    from benchmarks.generate_kills import run

    tally = run(tmp_path, requests=12, kills=1, seed=3)
    assert tally.holds, tally
