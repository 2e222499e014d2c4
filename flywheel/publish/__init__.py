"""Publish: key frames of mined events and their accepted variations become one versioned, checked dataset."""
