"""The cost of a verification as ratios to a bare implementation, measured in one run: `python -m benchmarks`."""
