"""Where verifications and counts are kept. `base.py` is the contract; every other module keeps it."""
