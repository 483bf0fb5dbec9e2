"""The shared part of the stores in SQL tables: the one on SQLAlchemy, and the Django adapter's on Django's database.

A step locks the one row of its phone, which also holds the phone's few counters: a step reads and writes one row
besides the record. On SQLite, which has one writer and no row locks, `BEGIN IMMEDIATE` is the lock. The methods, what a
step reads and writes, and the statements are defined here once. Each store adds its tables, as values, and how it runs
a step on a connection. Times are whole microseconds UTC, which every database stores exactly.
"""

from __future__ import annotations
