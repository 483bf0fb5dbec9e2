"""Users with a phone."""
