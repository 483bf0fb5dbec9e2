"""The requirements of every driver, as tests. A driver's own test class subclasses `DriverSuite`:

    class TestAmoot(DriverSuite):
        driver = Amoot
        dsn = "amoot://FAKE-TOKEN@127.0.0.1:8025/base?tls=off"
        variants = ("auth=form",)
        samples = Path(__file__).parent / "samples" / "amoot"
        phone, abroad = "+989120000000", "+79000000000"

`samples` is a folder of JSON files, each one conversation with the provider:

    about      what is special about it
    options    DSN options of this sample, added to `dsn`; none if absent
    call       start (if absent), retry, poll, check, read, delivery, account or missing
    order      channel; phone (the suite's if absent), code, text, webhook_url, user_token, options, line
    reference  of the previous order, for retry, poll and delivery, and for check if it has one
    exchange   a list of {request, response, read}. request is what the driver must send: method,
               path (under the base path), and query, headers, form or json if they matter; if
               absent, any request matches. response is status, headers and body: JSON, or a string
               with the literal body. read is false if the body of a 2xx carries no information and
               so must not change anything
    webhook    for read: method, query and form (or json, or body as text), headers and url as the
               provider sends them, received at the beginning of 2026 (UTC)
    expect     one of receipt, sighting, event (their fields, omitting those that are None; null is
               no event), delivery, account and question (likewise; delivery for read too), right
               (true or false, for check), missing (a text), refusal (the name of the failure kind),
               unclear and rejected (true), reply (the text that a webhook wants back), events (a list
               of the event and delivery of a webhook that reports several)

Numbers and keys in samples are invented.
"""

from __future__ import annotations

from .conversations import ConversationPromises
from .roles import RolePromises
from .samples import overhear

__all__ = ["DriverSuite", "overhear"]


class DriverSuite(RolePromises, ConversationPromises):
    """Tests that every driver must pass for any provider response. Subclasses name the driver, DSN
    and samples.
    """
