"""Verify that a phone is somebody's: by SMS code, flash call or inbound call, through any provider."""

__version__ = "0.1.0"
