"""Mines EVENTS and the EXPOSURE they were seen in: detectors by family over prepared drives, scored and counted honestly."""
