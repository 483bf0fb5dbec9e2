"""Codes that other packages or your own pages deliver or ask for, under the limits of every verification."""
