"""What the stores in SQL tables share: ours on SQLAlchemy, and that of the Django adapter on Django's own database.

One row per phone is what a step locks, and the phone's few counters ride in it: a step reads and writes one row more
than the record's own. The verbs, what a step reads and what it writes are here, once. A store brings what it alone
knows: the statements in the words of its databases, and its way of running a step on a connection.
Times are whole microseconds UTC, which every database keeps exactly.
"""

from __future__ import annotations
