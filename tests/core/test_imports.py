import subprocess
import sys

import pytest

HEAVY = ("torch", "diffusers", "fiftyone", "mlflow", "transformers", "lance", "cv2", "polars", "traci")
DEFINITIONS_HEAVY = ("torch", "diffusers", "fiftyone", "mlflow", "transformers")


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print('\\n'.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_dagster_definitions_load_no_heavy_library():
    assert not loaded_by("import assets.definitions") & set(DEFINITIONS_HEAVY)


@pytest.mark.parametrize("module", ["flywheel.cli", "flywheel.store", "flywheel.tables"])
def test_the_library_stays_light_until_it_works(module):
    loaded = loaded_by(f"import {module}")
    assert not loaded & {*HEAVY, "dagster", "boto3"}
