"""HTTP clients for driver exchanges, blocking and async."""
