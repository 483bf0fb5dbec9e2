"""Selects the drivers of an order: rules, conversions, and the order of failover."""

from __future__ import annotations

from .router import Route, Router

__all__ = ["Route", "Router"]
