"""Programs that are no tests: make runs them (verify, chaos, benchmarks), or tests use them (rebuilds, faults)."""
