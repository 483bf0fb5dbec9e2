"""The operations of a verification, as coroutines and as blocking calls."""
