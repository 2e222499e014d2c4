"""Plan, draw, gate and record variations of mined events."""
