"""Stores for verifications and counters. `base.py` defines the contract; every other module
implements it.
"""
