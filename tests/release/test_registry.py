import shutil
from pathlib import Path

import pytest

from flywheel.release.registry import list_registered, register
from flywheel.store import DiskStore

# SQLAlchemy 2.1 on MLflow 3.17's own mappings.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")


def test_versions_aliases_and_champions(store: DiskStore, make_model, tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert list_registered(state) == []
    good, good_evaluation = make_model(1, precision=0.8)
    first = register(store, good, good_evaluation, state=state)
    assert (first.version, first.aliases, first.tags["dataset_digest"]) == (1, ("candidate", "champion"), "a" * 64)
    assert register(store, good, good_evaluation, state=state) == first

    worse = register(store, *make_model(2, precision=0.4), state=state)
    assert (worse.version, worse.aliases) == (2, ("candidate",))
    assert worse.reason == "not champion: 0.4000 against 0.8000 of version 1, on the same test set"

    unknown = register(store, *make_model(3, precision=None), state=state)
    assert (unknown.aliases, unknown.reason) == (("candidate",), "not champion: no test drives")

    better = register(store, *make_model(4, precision=0.9, dataset="b"), state=state)
    assert better.aliases == ("candidate", "champion")
    assert better.reason == "champion: 0.9000 against 0.8000 of version 1, each on its own dataset's test set"
    assert [(r.version, r.aliases) for r in list_registered(state)] == [(1, ()), (2, ()), (3, ()), (4, ("candidate", "champion"))]
    assert register(store, good, good_evaluation, state=state).version == 1

    shutil.rmtree(state)
    assert register(store, good, good_evaluation, state=state).model_id == good.model_id
