"""Existing users with numbers: how sites store them, and what a command that adopts them reports."""
