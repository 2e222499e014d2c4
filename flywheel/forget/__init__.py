"""Removes drives and all that descends from them from a root, and leaves a tombstone that says only that something was removed."""
