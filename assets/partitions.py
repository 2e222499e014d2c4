"""One partition per landing batch, never per clip: a batch holds any number of drives."""

import dagster as dg

from flywheel.store import Store

landing_batches = dg.DynamicPartitionsDefinition(name="landing_batch")


def landed(store: Store) -> list[str]:
    """Ids of complete landing batches: those whose manifest, written last, is there."""
    return [key.split("/")[1] for key in store.list("landing/") if key.endswith("/_MANIFEST.json") and key.count("/") == 2]
