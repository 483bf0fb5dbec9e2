"""What a verification costs, as ratios against the bare thing, measured in one run: `python -m benchmarks`."""
