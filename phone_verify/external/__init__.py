"""Codes that other packages or your own pages deliver, under the limits of every verification."""
