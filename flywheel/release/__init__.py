"""Release: a registered model becomes a signed, staged update that a vehicle verifies before it runs it."""
