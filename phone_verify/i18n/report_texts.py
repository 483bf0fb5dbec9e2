"""The texts of reports in English; `locale/` holds the translations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from .languages import Language
from .texts import texts_in

#: By the names that the templates of reports use.
REPORT = {
    "report": "Report",
    "attempts_title": "Messages and calls",
    "downloads": "Downloads",
    "first_day": "From",
    "last_day": "To",
    "zone": "Time zone",
    "by": "Group by",
    "by_hour": "Hour",
    "by_day": "Day",
    "service": "Service",
    "access_key": "Access key",
    "channel": "Channel",
    "driver": "Provider",
    "region": "Country",
    "purpose": "Purpose",
    "outcome": "Result",
    "refusal": "Reason",
    "all": "All",
    "show": "Show",
    "compare": "Compare with the period before",
    "days_1": "Today",
    "days_7": "7 days",
    "days_30": "30 days",
    "days_90": "90 days",
    "attempts": "Attempts",
    "sent": "Sent",
    "delivered": "Delivered",
    "verified": "Verified",
    "conversion": "Conversion",
    "cost": "Cost",
    "cost_per_verified": "Cost per verified user",
    "median": "Median time to verify",
    "p95": "95% verify within",
    "refused": "Refused",
    "unclear": "Unclear",
    "unsent": "Not sent",
    "undelivered": "Undelivered",
    "expired": "Expired",
    "unpriced": "Sent without a known price: {count}. The cost is incomplete.",
    "total": "Total",
    "before": "Before: {value}",
    "refusals": "Refusals by reason",
    "count": "Number",
    "none": "Nothing was sent or called in this range.",
    "chart_volume": "Sent, delivered and verified",
    "chart_conversion": "Verified, % of sent",
    "chart_cost": "Cost in {currency}",
    "in_table": "The table below has the same numbers.",
    "table_csv": "This table as CSV",
    "table_xlsx": "This table as Excel file",
    "rows_title": "Each message and call",
    "rows_help": "Numbers are masked. A long list is split into files of at most {count} rows.",
    "rows": "Rows",
    "range": "Range",
    "no_key": "No key",
    "unknown": "Unknown",
    "time": "Time",
    "number": "Phone number",
    "provider_ms": "Provider's response",
    "verify_time": "Time to verify",
    "parts": "Parts",
    "next_page": "Next page",
    "first_page": "First page",
    "seconds": "{count} s",
    "milliseconds": "{count} ms",
    "inbound_call": "Inbound call",
    "bad_number": "Number not reachable",
    "configuration": "Configuration",
    "balance": "Balance at the provider",
    "rate": "Provider's rate limit",
    "transient": "Provider unavailable",
    "unknown_reason": "Other",
    "error_day": "Enter a date between 2000 and 2099.",
    "error_order": "The last day is before the first.",
    "error_days": "Choose at most {count} days.",
    "error_hours": "By hour, choose at most {count} days.",
    "error_rows": "An Excel file has at most {count} rows. Choose fewer days, or CSV.",
    "error_zone": "Choose a time zone of the list, for example Europe/Berlin.",
    "error_choice": "Choose one of the list.",
    "error_page": "This page of the list does not exist.",
    "error_store": "The database does not answer. Try again.",
    "not_found": "There is no page at this address.",
}  # fmt: skip


@cache
def report_texts(language: Language) -> Mapping[str, str]:
    """Return the texts of reports in a language."""
    texts = texts_in(language)
    return {name: texts.translated(text) for name, text in REPORT.items()}
