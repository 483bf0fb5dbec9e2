"""The DSN syntax."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from docsite.provider_pages import provider_page
from phone_verify import drivers
from phone_verify.drivers.dsn import driver_class, load_driver, parse_dsn, schemes
from phone_verify.drivers.options import Dsn
from phone_verify.errors import ConfigurationError
from tests.cases import in_one_test

SETTING = "PHONE_VERIFY_FLASH_CALL"
SECRET = "s3cr3t"


def parsed(text: str) -> tuple[object, ...]:
    dsn = parse_dsn(text, SETTING)
    assert dsn.setting == SETTING
    return dsn.scheme, tuple(dsn.credentials), dsn.host, dsn.port, dsn.base_path, dict(dsn.options)


@in_one_test
@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ferzz://KEY@default", ("ferzz", ("KEY",), None, None, "", {})),
        ("FERZZ://KEY@DEFAULT", ("ferzz", ("KEY",), None, None, "", {})),
        ("ssms://KEY@default", ("ssms", ("KEY",), None, None, "", {})),
        ("ssms://a%40b.example:p%3Aw@default", ("ssms", ("a@b.example", "p:w"), None, None, "", {})),
        ("evand://ID:SECRET@default?event_id=1001", ("evand", ("ID", "SECRET"), None, None, "", {"event_id": "1001"})),
        ("telefon-ip://T@127.0.0.1:8025/x?tls=off", ("telefon-ip", ("T",), "127.0.0.1", 8025, "/x", {"tls": "off"})),
        ("amoot://T@[::1]:1/a/b/", ("amoot", ("T",), "::1", 1, "/a/b", {})),
        ("amoot://T@[2001:DB8:0::1]", ("amoot", ("T",), "2001:db8::1", None, "", {})),
        ("amoot://T@sms_box.example:65535", ("amoot", ("T",), "sms_box.example", 65535, "", {})),
        ("amoot://T@h/", ("amoot", ("T",), "h", None, "", {})),
        ("amoot://T@h?a=&b=x%26%C3%A9+z&c=d=e", ("amoot", ("T",), "h", None, "", {"a": "", "b": "x&é+z", "c": "d=e"})),
        ("console://", ("console", (), None, None, "", {})),
        ("console://?name=x", ("console", (), None, None, "", {"name": "x"})),
        ("sandbox://127.0.0.1:8025", ("sandbox", (), "127.0.0.1", 8025, "", {})),
    ],
)  # fmt: skip
def test_dsn_is_split_into_parts(text: str, parts: tuple[object, ...]) -> None:
    assert parsed(text) == parts


@in_one_test
@pytest.mark.parametrize(
    "text",
    [
        "",
        SECRET,
        f"{SECRET}@default",
        f"ferzz:{SECRET}@default",
        f"ferzz:/{SECRET}@default",
        f"://{SECRET}@default",
        f"1ferzz://{SECRET}@default",
        f"fer+zz://{SECRET}@default",
        f'"ferzz://{SECRET}@default"',
        f" ferzz://{SECRET}@default",
        f"ferzz://{SECRET}@default\n",
        f"ferzz://{SECRET}\x00@default",
        f"ferzz://{SECRET}\udcff@default",
        f"ferzz://{SECRET}@",
        f"ferzz://{SECRET}@:80",
        f"ferzz://{SECRET}@?tls=off",
        f"ferzz://{SECRET}@/x",
        f"ferzz://{SECRET}/{SECRET}@default",
        f"ferzz://{SECRET}?{SECRET}@default",
        f"ferzz://{SECRET}?{SECRET}={SECRET}@default",
        f"ferzz://{SECRET}#{SECRET}@default",
        f"ferzz://{SECRET}@{SECRET}@default",
        f"ferzz://{SECRET}:{SECRET}:{SECRET}@default",
        f"ferzz://{SECRET}%@default",
        f"ferzz://{SECRET}%zz@default",
        f"ferzz://{SECRET}%FF@default",
        f"ferzz://{SECRET}%0A@default",
        f"ferzz://{SECRET}%00@default",
        f"ferzz://{SECRET}@default#fragment",
        f"ferzz://{SECRET}@default?tls=on#fragment",
        f"ferzz://{SECRET}@default:",
        f"ferzz://{SECRET}@default:0",
        f"ferzz://{SECRET}@default:65536",
        f"ferzz://{SECRET}@default:-1",
        f"ferzz://{SECRET}@default:8o",
        f"ferzz://{SECRET}@default:٨٠",
        f"ferzz://{SECRET}@default:80:80",
        f"ferzz://{SECRET}@::1",
        f"ferzz://{SECRET}@[::1",
        f"ferzz://{SECRET}@[::1]x",
        f"ferzz://{SECRET}@[::g]",
        f"ferzz://{SECRET}@[fe80::1%25eth0]",
        f"ferzz://{SECRET}@[127.0.0.1]",
        f"ferzz://{SECRET}@دامنه.example",
        f"ferzz://{SECRET}@a%2Eb",
        f"ferzz://{SECRET}@-a",
        f"ferzz://{SECRET}@a;b",
        f"ferzz://{SECRET}@default//x",
        f"ferzz://{SECRET}@default/a//b",
        f"ferzz://{SECRET}@default/../x",
        f"ferzz://{SECRET}@default/./x",
        f"ferzz://{SECRET}@default/..",
        f"ferzz://{SECRET}@default/%2e",
        f"ferzz://{SECRET}@default/a;b",
        f"ferzz://{SECRET}@default?",
        f"ferzz://{SECRET}@default?tls",
        f"ferzz://{SECRET}@default?=off",
        f"ferzz://{SECRET}@default?tls=off&",
        f"ferzz://{SECRET}@default?tls=on&tls=on",
        f"ferzz://{SECRET}@default?tls=on&%74ls=off",
        f"ferzz://{SECRET}@default?name=%",
        f"ferzz://{SECRET}@default?name=%0A",
        f"ferzz://{SECRET}@default?name=a@b",
    ],
)
def test_unreadable_dsn_error_names_the_setting(text: str) -> None:
    with pytest.raises(ConfigurationError, match=SETTING) as raised:
        parse_dsn(text, SETTING)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (f"ferzz://{SECRET} x@default", "without spaces"),
        (f"ferzz://{SECRET}\nx@default", "control characters"),
        (f"ferzz://{SECRET}@x@default", "%40"),
        (f"ferzz://{SECRET}#x@default", "%23"),
        (f"ferzz://{SECRET}/x@default", "percent-encode /"),
        (f"ferzz://{SECRET}:x:y@default", "%3A"),
        (f"ferzz://{SECRET}%x@default", "%25"),
        (f"ferzz://{SECRET}@", "default"),
        (f"ferzz://{SECRET}@default:0", "1 to 65535"),
    ],
)
def test_error_says_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(ConfigurationError, match=hint):
        parse_dsn(text, SETTING)


#: Pieces of DSNs and separators, so that generated ones are close to real ones.
_PIECES = (
    "ferzz amoot console telefon-ip base :// : / @ ? & = # % %41 %00 default 127.0.0.1 [::1] 80 tls=off name=x .. é"
)
_TEXTS = st.text(max_size=40) | st.lists(
    st.sampled_from([*_PIECES.split(), "timeout=5", "foreign=digits", " ", "\n"]), max_size=12
).map("".join)


@pytest.mark.fuzz
@settings(max_examples=1000, deadline=None, database=None)
@given(_TEXTS)
@example("ferzz://KEY@default")
@example("amoot://KEY@default?auth=form")
def test_any_text_parses_or_raises_configuration_error(text: str) -> None:
    try:
        load_driver(parse_dsn(text, SETTING))
    except ConfigurationError as error:
        assert SETTING in str(error)  # noqa: PT017 - both ends are fine


@pytest.mark.fuzz
@settings(max_examples=1000, deadline=None, database=None)
@given(
    st.sampled_from(["ferzz", "amoot", "telefon-ip", "console", "no-such-driver"]),
    _TEXTS,
    _TEXTS,
    st.sampled_from(["default", "[::1]", "default:99999", "default?nonsense=1", "default?tls=off", "", "default#x"]),
    st.booleans(),
)
def test_no_error_and_no_repr_shows_a_credential(
    scheme: str, before: str, after: str, place: str, encoded: bool
) -> None:
    """The characters around the secret in the credential, percent-encoded or not."""
    credential = f"{before}{SECRET}{after}"
    if encoded:
        credential = quote(credential, safe="", errors="replace")
    try:
        dsn = parse_dsn(f"{scheme}://{credential}@{place}", SETTING)
        shown = repr(dsn)
        assert SECRET not in shown
        shown = repr(load_driver(dsn))
    except ConfigurationError as error:
        shown = str(error)
    assert SECRET not in shown


@pytest.mark.parametrize("scheme", ["no-such", "base", "dsn", "sandbox", "os"])
def test_unknown_driver_error_lists_the_known_ones(scheme: str) -> None:
    with pytest.raises(ConfigurationError, match=SETTING) as raised:
        load_driver(Dsn(scheme, (SECRET,), "127.0.0.1", setting=SETTING))
    for known in ("amoot", "console", "ferzz", "telefon-ip"):
        assert known in str(raised.value)
    for other in (SECRET, "base,", "dsn,", "telefon_ip,"):
        assert other not in str(raised.value)


@pytest.mark.parametrize(("scheme", "meant"), [
    ("telefon_ip", "telefon-ip"), ("amot", "amoot"), ("sandbx", "sandbox"),
])  # fmt: skip
def test_misspelt_driver_error_names_the_nearest(scheme: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=SETTING) as raised:
        load_driver(parse_dsn(f"{scheme}://{SECRET}@127.0.0.1", SETTING))
    assert f"Did you mean {meant!r}?" in str(raised.value)
    assert SECRET not in str(raised.value)


def test_every_module_is_a_driver_of_its_name() -> None:
    """A new driver is found by its file alone."""
    files = {file.stem.replace("_", "-") for file in Path(drivers.__path__[0]).glob("[a-z]*.py")}
    assert files - {"base", "dsn", "options", "reading"} == set(schemes())
    for scheme in schemes():
        module = __import__(f"phone_verify.drivers.{scheme.replace('-', '_')}", fromlist=["DRIVER"])
        assert module.DRIVER.scheme == scheme


@in_one_test
@pytest.mark.parametrize("scheme", schemes())
def test_every_driver_has_a_page_that_names_its_options(scheme: str) -> None:
    pages = Path(__file__).parents[2] / "docs" / "providers"
    written = pages / f"{scheme}.md"
    page = written.read_text(encoding="utf-8") if written.exists() else provider_page(scheme)
    driver = driver_class(scheme)
    assert driver.provider
    assert driver.example_dsns()[0].partition(":")[0] + ":" in page
    for name, option in driver.options.items():
        assert f"| `{name}` |" in page
        assert option.meaning, f"the option {name} has no meaning"
