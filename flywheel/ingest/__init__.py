"""Raw logs in, checked tables and content-addressed media out; what cannot be read is quarantined with its reason."""
