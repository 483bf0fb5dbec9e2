"""Other libraries that verify a phone or a code, each on a site of its own, under the load of `benchmarks.peers`."""
