"""A request to SMSC, for the tests of faults."""

from urllib.parse import urlencode

from tests.sandbox.caller import FORM, ApiResponse, Caller, Sender


def _send(caller: Caller, phone: str) -> ApiResponse:
    fields = {"login": "L", "psw": "P", "fmt": "3", "charset": "utf-8", "phones": phone[1:], "mes": "Ваш код 048213"}
    return caller.ask("POST", "/sys/send.php", urlencode(fields), FORM)


SENDERS = {
    "smsc": Sender(
        _send,
        ("+79990000001", "+79990000002"),
        frozenset(
            {
                "parameters",
                "wrong_login",
                "ip_not_allowed",
                "no_money",
                "blocked",
                "bad_date",
                "bad_wait_number",
                "forbidden",
                "no_attempts",
                "bad_number",
                "undeliverable",
                "repeated",
                "too_many",
            }
        ),
    ),
}
