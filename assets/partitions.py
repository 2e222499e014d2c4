"""One partition per landing batch, never per clip: a batch holds any number of drives."""

import dagster as dg

landing_batches = dg.DynamicPartitionsDefinition(name="landing_batch")
