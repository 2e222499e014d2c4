"""The sample fleet: SUMO traffic, seeded drives with planted, known events. For the demo, the tests and benchmarks."""
