"""Other libraries that verify a phone or a code, each on a separate site, under the load of `benchmarks.peers`."""
