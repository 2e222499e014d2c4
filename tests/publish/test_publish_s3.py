from types import ModuleType

import pytest

from flywheel.publish.dataset import list_datasets, publish, pull, verify
from flywheel.store import open_store


@pytest.mark.service
def test_the_same_dataset_on_s3(s3_root: str, store, drawn: ModuleType, tmp_path) -> None:
    remote = open_store(s3_root)
    for each in (remote, store):
        drawn.fleet(each, 3)
    made = publish(remote)
    assert made == publish(store)
    before = remote.list("datasets/")
    assert publish(remote) == made
    assert remote.list("datasets/") == before
    drawn.add_drive(remote, 4)
    assert publish(remote).version == "v2"
    assert verify(remote, "rare-driving@v1") == verify(remote, "rare-driving@v2") == []
    assert [found.version for found in list_datasets(remote)] == ["v1", "v2"]
    assert pull(remote, "rare-driving@v1", tmp_path / "out").digest == made.digest
