"""What one drive looks like: found by its id, drawn, as a page, as a Rerun recording. Read from the store only."""
