"""The open data flywheel for rare driving scenarios (the library; it never imports dagster)."""

__version__ = "0.1.0"
