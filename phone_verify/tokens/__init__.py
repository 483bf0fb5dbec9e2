"""Signed tokens: proofs of a verification, and the trusted-device cookie's value."""
