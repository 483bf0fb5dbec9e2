"""Stores for verifications and counters. `base.py` defines the contract, and the others implement it."""
