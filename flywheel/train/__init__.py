"""Train: a published dataset becomes a small reference model and an evaluation slice by slice."""
