"""An ordinary answer as one statement of PostgreSQL, for both stores in SQL tables."""

# ruff: noqa: S608 - only names of our own tables are formatted into the text; values are always bound

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...lifecycle import AttemptResult, Spent
from ...limits import HOUR, Answering, Limits, TallyChange, add_failure
from ...model import CLOCK_SLACK, CodeSource, Failures, Status, Verification, with_changes
from ...policy import FAILURE_MEMORY, LONG_CODE, SEND_WINDOW, SHORT_REST, TALLIED_PER_ADDRESS, TALLY_HOURS
from ...purposes import DEFAULT_SERVICE, Budget
from .texts import Tables
from .values import FIELDS, MICROSECOND, TALLY_FIRST, series_range

#: More wrong answers than a column holds.
_UNLIMITED = 1 << 31
_HOUR = HOUR // MICROSECOND


def may_be_ordinary(answering: Answering) -> bool:
    """Return whether an answer can be ordinary: no right answers are to be added."""
    return answering.rights == 0


def at_most(limit: float) -> int:
    """Return a limit as a value of a statement: no count in a column reaches a larger one."""
    return int(min(limit, _UNLIMITED))


def ordinary_values(
    binding: bytes, digests: Sequence[bytes], length: int, limits: Limits, answering: Answering
) -> Mapping[str, object]:
    """Return the values of the statement, without the record and the time."""
    return {
        "binding": binding,
        # Not as an array of bytes, which psycopg writes wrongly if a server takes backslashes in strings as escapes.
        "digests": [digest.hex() for digest in digests],
        "length": length,
        "address": answering.address,
        "most": at_most(limits.per_address or _UNLIMITED),
        "short_per_day": at_most(limits.short_per_day),
        "most_failures": at_most(limits.failures),
        "short_failures": at_most(limits.short_failures),
        "ceiling": at_most(limits.ceiling or _UNLIMITED),
    }


def ordinary_spent(record: Verification, before: Failures | None, limits: Limits, answering: Answering) -> Spent:
    """Return the attempt that the statement has spent, by the record that it returned and the failures before."""
    if record.status is Status.VERIFIED:
        return Spent(AttemptResult.RIGHT, record, None)
    failed = add_failure(before, limits, record.counts_as, record.read_at)
    change = TallyChange(record.tallied_short, record.tallied_long, 0, int(bool(answering.address)))
    tally = None if record.trusted else change
    return Spent(AttemptResult.WRONG, with_changes(record, failures=failed), failed, tally)


def spend_text(tables: Tables) -> str:
    """Return the statement that consumes, compares and counts an ordinary attempt, by the rules of `lifecycle.spend`.

    It returns the record as written, and the phone's failures under its key before, as JSON. It returns no row if
    the attempt is not ordinary; then it has compared nothing and written nothing. If it has locked the rows, it has
    waited for the disk all the same, as PostgreSQL does after a lock of a row. Ordinary is the first attempt at a
    code of ours, unless it is the last one: it neither meets nor causes a lockout, and the address and the site
    are below their limits. Whether the phone has failures does not matter, so that the time of an answer does not
    reveal it; on a trusted device it may.

    Why it is atomic under READ COMMITTED: `FOR UPDATE` waits for other steps on the phone, and locks the
    newest version of both rows, the phone's first. All that depends on the phone, the time too, is computed from what
    it returns, so only after that. The updates find the rows in the statement's older snapshot, and follow them to
    the newest versions, which are the locked ones: nobody else can have changed them.

    Each `OFFSET 0` keeps PostgreSQL from moving a condition in front of the wait, and from repeating an expression
    wherever its name stands: that took most of the statement's time.
    """
    record, phone, counter = tables.verification, tables.phone, tables.counter
    failures = tables.casts.get("failures", "::text")
    new_version = "version = p.version + 1," if tables.numbered else ""
    memory, window, rest = (span // MICROSECOND for span in (FAILURE_MEMORY, SEND_WINDOW, SHORT_REST))
    first, beyond = series_range("short")
    returned = ", ".join(f"{'held' if name in ('tag', 'read_at') else 'v'}.{name}" for name in FIELDS)
    return f"""\
WITH held AS (
  SELECT locked.*, t.read_at, e.failed, f.*, encode(code_digest, 'hex') = ANY(CAST(%(digests)s AS text[])) AS matches,
    CASE WHEN trusted OR given >= {TALLIED_PER_ADDRESS} THEN NULL
      WHEN short THEN 'short' WHEN code_length < {LONG_CODE} THEN 'long' END AS series
  FROM (
    SELECT p.tag, p.failures::jsonb AS failures, b.*,
      b.budget || CASE WHEN b.trusted THEN '+trusted' ELSE '' END AS key,
      v.short::integer = 1 AS short, v.code_digest, v.code_length, v.created_at, v.expires_at
    FROM {phone} AS p, {record} AS v, LATERAL (SELECT v.trusted::integer = 1 AS trusted,
      CASE v.service WHEN '{DEFAULT_SERVICE}' THEN '' ELSE v.service || '/' END || v.budget AS budget) AS b
    WHERE p.tag = %(of_phone)s AND v.id = %(this)s AND v.binding = %(binding)s
      AND v.status IN ('{Status.PENDING}', '{Status.SENT}') AND v.attempts_left > 1 AND v.mistakes = 0
      AND v.code_source IN ('{CodeSource.LOCAL}', '{CodeSource.PROVIDER}') AND v.code_digest IS NOT NULL
      AND v.code_length = %(length)s
      AND v.budget IN ('{Budget.SIGN_IN}', '{Budget.SIGNED_IN}', '{Budget.SECOND_FACTOR}')
    OFFSET 0 FOR UPDATE OF p, v
  ) AS locked,
    LATERAL (SELECT COALESCE(CAST(%(at)s AS bigint), CASE WHEN tag IS NOT NULL THEN {tables.now} END) AS read_at
      OFFSET 0) AS t,
    LATERAL (SELECT CASE WHEN (failures -> key ->> 1)::bigint > read_at THEN failures -> key END AS failed
      OFFSET 0) AS e,
    LATERAL (SELECT COALESCE((failed ->> 3)::integer, 0) AS total, COALESCE((failed ->> 4)::integer, 0) AS locks,
      CASE (failed ->> 5)::bigint WHEN 0 THEN (failed ->> 0)::integer ELSE 0 END AS failing OFFSET 0) AS f,
    LATERAL (SELECT COALESCE((SELECT c.count FROM {counter} AS c
      WHERE c.name = %(address)s AND c.ends_at > read_at), 0) AS given OFFSET 0) AS a
  WHERE created_at - {CLOCK_SLACK // MICROSECOND} <= read_at AND read_at < expires_at
    AND (failed IS NULL OR (failed ->> 5)::bigint <= read_at)
    AND failing + 1 < %(most_failures)s AND total + 1 < %(ceiling)s
    AND NOT (short AND failing >= %(short_failures)s AND read_at < (failed ->> 2)::bigint + {rest})
    AND NOT (trusted AND failures ? budget)
    AND (trusted OR given < %(most)s AND (NOT short OR %(short_per_day)s > (
      SELECT COALESCE(SUM(c.count), 0) FROM {counter} AS c
      WHERE c.name >= '{first}' AND c.name < '{beyond}' AND c.ends_at > read_at)))
), phone AS (
  UPDATE {phone} AS p SET {new_version}
    ends_at = CASE WHEN matches THEN p.ends_at ELSE GREATEST(p.ends_at, read_at + {memory}) END,
    failures = (
      (SELECT COALESCE(jsonb_object_agg(o.key, o.value), '{{}}') FROM jsonb_each(held.failures) AS o
        WHERE (o.value ->> 1)::bigint > read_at AND o.key <> held.key)
      || CASE WHEN matches THEN '{{}}' ELSE jsonb_build_object(
        held.key, jsonb_build_array(failing + 1, read_at + {memory}, read_at, total + 1, locks, 0)) END){failures}
  FROM held WHERE p.tag = %(of_phone)s
), tally AS (
  INSERT INTO {counter} AS c (name, count, ends_at)
  SELECT new.name, 1, new.ends_at FROM held, LATERAL (VALUES
    ('{TALLY_FIRST}' || series || ':' || lpad(mod(read_at / {_HOUR}, 100::bigint)::text, 2, '0'),
      (read_at / {_HOUR} + {1 + TALLY_HOURS}) * {_HOUR}),
    (CASE WHEN NOT trusted THEN %(address)s END, read_at + {window})) AS new (name, ends_at)
  WHERE NOT matches AND new.name IS NOT NULL ORDER BY new.name COLLATE "C"
  ON CONFLICT (name) DO UPDATE SET
    count = CASE WHEN c.ends_at <= (SELECT read_at FROM held) THEN excluded.count ELSE c.count + excluded.count END,
    ends_at = CASE WHEN c.ends_at <= (SELECT read_at FROM held) THEN excluded.ends_at ELSE c.ends_at END
)
UPDATE {record} AS v SET attempts_left = v.attempts_left - 1,
  status = CASE WHEN matches THEN '{Status.VERIFIED}' ELSE v.status END,
  closed_at = CASE WHEN matches THEN read_at END,
  mistakes = CASE WHEN matches OR held.trusted THEN 0 ELSE 1 END,
  tallied_short = CASE WHEN NOT matches AND series = 'short' THEN 1 ELSE 0 END,
  tallied_long = CASE WHEN NOT matches AND series = 'long' THEN 1 ELSE 0 END
FROM held WHERE v.id = %(this)s
RETURNING {returned}, held.failed::text"""
