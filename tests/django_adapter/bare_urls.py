"""A site that does not include our URLs."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
