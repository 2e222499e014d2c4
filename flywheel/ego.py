"""The ego vehicle's outline in its own frame (origin: rear axle's centre on the ground, x forward), metres."""

FRONT_M = 3.7
REAR_M = -0.9
WIDTH_M = 1.85
HEIGHT_M = 1.5
WHEELBASE_M = 2.8
