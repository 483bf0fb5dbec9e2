"""Request files: the shared suite with each example of the docs, and what the schema refuses."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path

import pytest

from phone_verify.config.drivers import load_drivers
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.kinds.request_file import PLACEHOLDERS, filled, parse_request_file
from phone_verify.drivers.webhook import Webhook
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.model import Channel, Order, Receipt
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test

FILES = Path(__file__).parents[2] / "docs" / "request_files"


class TestWebhook(DriverSuite):
    driver = Webhook
    dsn = f"webhook+http://FAKE%2FKEY:FAKE%2BSECOND@127.0.0.1:8025/base?file={FILES / 'aws_sns_gateway.yaml'}"
    variants = ("name=gateway&timeout=5", "unencrypted_on_a_private_network=on")
    samples = Path(__file__).parent / "samples" / "webhook"
    phone = "+15005550006"


ORDER = Order(
    PhoneNumber("+15005550006"), Channel.SMS, timedelta(minutes=2), "482193", 'Code: 482193 "{key}"', key="id.1"
)


def load(place: str, file: Path) -> Webhook:
    [driver] = load_drivers({"sms": [f"webhook+{place}?file={file}"]})[Channel.SMS]
    assert isinstance(driver, Webhook)
    return driver


def sent(driver: Webhook, response: HttpResponse) -> tuple[object, HttpRequest]:
    result, [request] = overhear(driver.start(ORDER), [response])
    assert isinstance(request, HttpRequest)
    return result, request


def test_bird() -> None:
    driver = load("https://FAKE-KEY@api.bird.example/workspaces/1/channels/2/messages", FILES / "bird.yaml")
    body = b'{"id": "a1b2", "status": "accepted"}'
    result, request = sent(driver, HttpResponse(202, {}, body))
    assert result == Receipt("a1b2")
    assert request.url == "https://api.bird.example/workspaces/1/channels/2/messages"
    assert request.headers == {"Content-Type": "application/json", "Authorization": "AccessKey FAKE-KEY"}
    document = json.loads(request.body or b"")
    assert document["receiver"] == {"contacts": [{"identifierKey": "phonenumber", "identifierValue": "+15005550006"}]}
    # A value that contains braces is not filled a second time.
    assert document["body"]["text"]["text"] == 'Code: 482193 "{key}"'
    assert document["reference"] == "id.1"
    for code, kind in (("InvalidPhoneNumber", FailureKind.BAD_NUMBER), ("Other", FailureKind.UNKNOWN)):
        refused, _ = sent(driver, HttpResponse(422, {}, json.dumps({"code": code}).encode()))
        assert isinstance(refused, ProviderError)
        assert refused.trouble is kind
    for status in ("rejected", 1, None):
        unclear, _ = sent(driver, HttpResponse(202, {}, json.dumps({"id": "a", "status": status}).encode()))
        assert isinstance(unclear, UnclearError)


def test_kannel() -> None:
    driver = load("http://FAKE-USER:FAKE%20PASSWORD@127.0.0.1:13013/cgi-bin/sendsms", FILES / "kannel.yaml")
    result, request = sent(driver, HttpResponse(202, {}, b"0: Accepted for delivery"))
    assert result == Receipt()
    assert (request.method, request.body) == ("GET", None)
    assert request.url == (
        "http://127.0.0.1:13013/cgi-bin/sendsms?username=FAKE-USER&password=FAKE+PASSWORD&to=%2B15005550006"
        "&text=Code%3A+482193+%22%7Bkey%7D%22&charset=utf-8&coding=2"
    )
    refused, _ = sent(driver, HttpResponse(403, {}, b"Authorization failed for sendsms"))
    assert isinstance(refused, ProviderError)
    assert refused.trouble is FailureKind.CONFIGURATION
    unclear, _ = sent(driver, HttpResponse(200, {}, b"0: Accepted for delivery"))
    assert isinstance(unclear, UnclearError)


def test_form_text_and_headers(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(
        'path: /v1/send\nform: {to: "{digits}", n: "{national}", life: "{ttl_seconds}", c: "{code}"}\n'
        "reference: {header: X-Id}\n"
    )
    result, request = sent(load("https://gateway.example", file), HttpResponse(200, {"x-id": "77"}))
    assert (result, request.url) == (Receipt("77"), "https://gateway.example/v1/send")
    assert request.body == b"to=15005550006&n=5005550006&life=120&c=482193"
    file.write_text(
        "text: '{phone} {code}'\nmethod: PUT\nchannels: [sms, flash_call]\nreference: {text: 'id=(\\d+)'}\n"
    )
    driver = load("https://gateway.example/x", file)
    result, request = sent(driver, HttpResponse(200, {}, b"id=9"))
    assert (result, request.body, request.method) == (Receipt("9"), b"+15005550006 482193", "PUT")
    assert driver.abilities[Channel.FLASH_CALL].longest == 4


@in_one_test
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file: write names with values"),
        ("method: PATCH\njson: {}", "method: write POST, GET or PUT"),
        ("json: {a: '{password}'}", "unknown placeholder {password}"),
        ("json: {a: '{code.__class__}'}", None),
        ("json: {}\nform: {}", "the file: write exactly one of json, form and text"),
        ("json: {a: '{phone}'}", "the request has no {text} or {code}"),
        ("json: {a: '{text}'}", "the request has no {phone} or {digits} or {national}"),
        ("json: {}\nerrors: {json: a, codes: {other: [1]}}", "errors.codes: write the kinds bad_number,"),
        ("json: {}\nerrors: {json: a, codes: {rate: 1}}", "errors.codes.rate: write a list of codes"),
        ("json: {}\nsuccess: {json: a, values: [[]]}", "success.values.0: write a text, a whole number"),
        ("json: {}\nerrors: {texts: {rate: 1}}", "errors.texts.rate: write a regular expression"),
        ("json: {}\nsuccess: {status: [302]}", "success.status.0: write"),
        ("json: {}\nerrors: {texts: {rate: '('}}", "no regular expression"),
        ("json: {}\nerrors: {texts: {other: 'x'}}", "errors.texts: write"),
        ("json: {}\nsurprise: 1", "the file: unknown name 'surprise'; write names"),
        ("json: {}\nheaders: {A: 'ключ'}", "headers.A: write a text of printable ASCII"),
        ("json: {}\npath: //x?y", "path: write a path"),
        (": : :", "not YAML"),
        ("json: !!python/object/apply:os.system [true]", "line 1: write the value in quotes, without a tag"),
        ("json: {a: &a [x, x], b: [*a, *a]}", "line 1: write the value out"),
        ("json: " + "{a: " * 2000 + "1" + "}" * 2000, "nested too deeply"),
        ("json: {a: !!int FAKE}", "line 1: write the value in quotes"),
        ("json: {a: 2024-01-01}", "line 1: write the value in quotes"),
        ("json: {}\njson: {a: '{text}'}", "line 2: duplicate name"),
        ("json: {a: .nan}", "values that JSON has"),
        ('json: {a: "\\ud800"}', "values that JSON has"),
        ('form: {a: "\\ud800"}', "values that JSON has"),
        ('query: {a: "\\ud800"}', "values that JSON has"),
        ('text: "\\ud800"', "values that JSON has"),
        ('json: {}\nheaders: {"X-A\\n": b}', "headers: write names of letters"),
        ('json: {a: "{phone} {text}"}\nheaders: {X-A: "b\\n"}', "printable ASCII"),
        ("json: {}\nheaders: {content-length: '3'}", "leave out Content-Length"),
        ("json: {}\nheaders: {Transfer-Encoding: chunked}", "leave out Content-Length"),
        ('json: {}\npath: "/a\\n"', "path: write a path"),
        ("json: {}\npath: /../x", "path: write a path"),
        ("json: {}\npath: /a/./x", "path: write a path"),
        ("json: {}\npath: /a//x", "path: write a path"),
        ("json: {}\nsuccess: {text: 'a{99999999999}'}", "no regular expression"),
        ("json: {}\nsuccess: {text: '(a+)+$'}", "repeats a group"),
        ("json: {}\nreference: {text: '(a|aa)*b'}", "repeats a group"),
        ("json: {}\nerrors: {texts: {rate: '(a?){30}b'}}", "repeats a group"),
        ("json: {}\nerrors: {texts: {rate: '(?x) (a+) *b'}}", "repeats a group"),
        ("json: {}\nerrors: {texts: {rate: 'a*b*c{2,}d'}}", "more than 2 of"),
    ],
)
def test_faulty_file_is_reported(text: str, says: str | None, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    if says is None:
        # Only names of values are placeholders, so nothing else of Python can be reached.
        assert filled("{code.__class__}", {"code": "1"}) == "{code.__class__}"
        parse_request_file(text)
        return
    with pytest.raises(ConfigurationError) as raised:
        load("https://FAKE-KEY@gateway.example", file)
    assert says in str(raised.value)
    assert "FAKE" not in str(raised.value)


@pytest.mark.parametrize(
    "pattern",
    [r"id=(\d{6})", r"^[03]: ", r"(?i)error: ?(\w+)", r"[*+]{3}[)+]", r"\(a\)+", "(?:ab)?c", "a*?b+?", r"[]a)]*[^]b]*"],
)
def test_pattern_of_limited_cost_is_accepted(pattern: str) -> None:
    parse_request_file(json.dumps({"json": {}, "success": {"text": pattern}}))


@pytest.mark.parametrize("part", ["errors: {texts: {rate: P}}", "success: {text: P}", "reference: {text: P}"])
def test_long_response_is_searched_in_a_short_time(part: str) -> None:
    file = parse_request_file("json: {}\n" + part.replace("P", "'Number .*.* not allowed$'"))
    response = HttpResponse(200, {}, b"Number " * 37_000)
    began = time.thread_time()
    assert (file.failure(response), file.reference(response)) == (None, None)
    assert file.is_success(response) is not part.startswith("success")
    assert time.thread_time() - began < 5


@pytest.mark.parametrize("listed", ["false", "'false'"])
def test_listed_truth_value_is_an_error(listed: str) -> None:
    file = parse_request_file(f"json: {{}}\nerrors: {{json: ok, codes: {{balance: [{listed}]}}}}")
    assert file.failure(HttpResponse(200, {}, b'{"ok": false}')) is FailureKind.BALANCE
    assert file.failure(HttpResponse(200, {}, b'{"ok": true}')) is None


@in_one_test
@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        ("https://gateway.example/send", "write webhook\\+https://"),
        ("amoot+https://T@default", "write amoot://"),
        ("webhook+http://T@gateway.example?file=F", "loopback"),
        ("webhook+http://T@gateway.example?file=F&unencrypted_on_a_private_network=on", "private address"),
        ("webhook+http://T@203.0.113.9?file=F&unencrypted_on_a_private_network=on", None),
        ("webhook+http://T@127.0.0.1?file=F&tls=on", "leave the option tls out"),
        ("webhook+http://T@gateway.example?file=F", "unencrypted_on_a_private_network=on"),
        ("webhook+https://T@gateway.example", "'file' is required: .*Example: PHONE_VERIFY_SMS=webhook\\+https://"),
        ("webhook+https://gateway.example?file=F", "uses {credential}, which the DSN lacks: write CREDENTIAL@"),
        ("webhook+https://T@gateway.example?file=/nowhere/at/all.yaml", "cannot be read"),
        ("webhook+https://T%0A@gateway.example?file=F", "control characters"),
        ("webhook+https://%D1%8F@gateway.example?file=F", "x-api-key would not be printable ASCII"),
    ],
)
def test_unusable_settings_are_reported(dsn: str, says: str | None) -> None:
    if says is None:
        return
    with pytest.raises(ConfigurationError, match=says):
        load_drivers({"sms": [dsn.replace("file=F", f"file={FILES / 'aws_sns_gateway.yaml'}")]})


def test_private_network_needs_the_long_option() -> None:
    query = f"?file={FILES / 'kannel.yaml'}&unencrypted_on_a_private_network=on"
    driver = load_driver(parse_dsn(f"webhook+http://U:P@10.0.0.5:13013/cgi-bin/sendsms{query}", "PHONE_VERIFY_SMS"))
    assert driver.base_url == "http://10.0.0.5:13013/cgi-bin/sendsms"
    assert not driver.is_local


def test_page_names_every_placeholder() -> None:
    page = (FILES.parent / "any_provider.md").read_text("utf-8")
    for name in PLACEHOLDERS:
        assert f"`{{{name}}}`" in page
