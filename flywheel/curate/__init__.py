"""Curation: rules and people decide which variations may enter a dataset; every decision is kept."""
