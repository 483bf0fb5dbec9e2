"""The doctor's finding for every mistake, and that it shows no secret."""

from __future__ import annotations

import json
import os
import re
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import phone_verify.doctor
from phone_verify.codes import Keyring
from phone_verify.config.settings import KNOWN, Settings
from phone_verify.config.site import SiteConfig
from phone_verify.doctor import CATALOGUE, Finding, Level, Report, examine, read_ids
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError, StoreError, UnclearError
from phone_verify.exchange import HttpResponse
from phone_verify.sandbox import Fault, SandboxServer
from phone_verify.testing.transport import FakeTransport
from phone_verify.transports.blocking import BlockingTransport
from tests.cases import in_one_test
from tests.stores.redis_servers import RedisServer, running

KEY = "k-key-for-tests-0123456789abcdef-and-16-more-char"
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()

#: A site without findings.
SOUND = {
    "sms": "amoot://TOKEN@default",
    "secret_keys": KEY,
    "store": "sqlite:///there_is_no_such_file.sqlite3",
    "public_url": "https://site.example",
    "region": "IR",
    "allowed_regions": "IR",
    "trusted_proxies": "1",
}


def examined(change: dict[str, Any] | None = None, **of_given: Any) -> list[Finding]:
    """Return the offline findings for the sound site with changes; None omits a setting."""
    values = {name: value for name, value in {**SOUND, **(change or {})}.items() if value is not None}
    environ = {f"PHONE_VERIFY_{name.upper()}": value for name, value in values.items()}
    return list(examine(SiteConfig(environ=environ, **of_given)))


def text_of(finding: Finding) -> str:
    return "\n".join(filter(None, (finding.level, finding.setting, finding.says, finding.advice)))


def about(findings: list[Finding], setting: str, level: Level) -> str:
    """Return the text of the only finding of this level about this setting."""
    found = [each for each in findings if each.setting == setting and each.level is level]
    assert len(found) == 1, [text_of(each) for each in findings]
    return text_of(found[0])


def bad(findings: list[Finding]) -> list[str]:
    return [text_of(each) for each in findings if each.level in (Level.ERROR, Level.WARNING)]


def test_sound_site_has_no_errors() -> None:
    findings = examined()
    assert bad(findings) == []
    assert Report.of(findings).summary.startswith("no errors, no warnings, ")
    assert any(each.level is Level.OK and "SMS by amoot" in each.says for each in findings)


def test_packages_with_the_same_files_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tmp_path / "phonenumberslite-9.0.1.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: phonenumberslite\nVersion: 9.0.1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (finding,) = [each for each in examined() if each.id == "PV901"]
    assert "phonenumberslite 9.0.1" in finding.says
    assert "pip uninstall phonenumberslite" in finding.advice


@in_one_test
@pytest.mark.parametrize(("change", "level", "setting", "words"), [
    ({"sms": None}, Level.ERROR, "", ["No channel is configured", "PHONE_VERIFY_SMS=console://"]),
    ({"sms": "amoot://x"}, Level.ERROR, "SMS", ["credentials", "PHONE_VERIFY_SMS=amoot://TOKEN@default"]),
    ({"sms": "amot://T@default"}, Level.ERROR, "SMS", ["Did you mean 'amoot'?", "phone-verify drivers"]),
    ({"sms": "evand://A:B@default"}, Level.ERROR, "SMS", ["evand://CLIENT_ID:CLIENT_SECRET@default?event_id=1001"]),
    ({"sms": "amoot://T@default amoot://U@default?speed=1"}, Level.ERROR, "SMS", ["DSN 2 of 2", "unknown option"]),
    ({"sms": "amoot://T@default?name=a amoot://U@default?name=a"}, Level.ERROR, "SMS", ["DSN 2 of 2", "named 'a'"]),
    ({"channels": "voice,sms"}, Level.ERROR, "CHANNELS", ["names voice", "Set PHONE_VERIFY_VOICE"]),
    ({"flash_call": "ferzz://K@default", "channels": "sms"}, Level.NOTE, "CHANNELS", ["flash_call"]),
    ({"sms": None, "flash_call": "ferzz://K@default"}, Level.WARNING, "FLASH_CALL", ["All channels use short codes",
        "3 attempts and 180 seconds", "10 wrong"]),
    ({"purposes": "wire:require=sms+inbound_call"}, Level.ERROR, "PURPOSES",
        ["wire requires inbound_call", "Set PHONE_VERIFY_INBOUND_CALL", "remove inbound_call from wire"]),
    ({"purposes": "wire:require=sms+pigeon"}, Level.ERROR, "PURPOSES", ["Unknown channel 'pigeon'", "sms, flash_call"]),
    ({"purposes": "gift:length=4"}, Level.NOTE, "PURPOSES", ["Codes of gift have 4 digits", "3 attempts"]),
    ({"code_length": "4"}, Level.WARNING, "CODE_LENGTH", ["All channels use short codes", "CODE_LENGTH=6"]),
    ({"flash_call": "ferzz://K@default"}, Level.NOTE, "FLASH_CALL", ["ferzz", "3 attempts"]),
    ({"sms": "console://"}, Level.WARNING, "SMS", ["Development", "console", "DSN of a provider"]),
    ({"sms": "sandbox://127.0.0.1:8025"}, Level.WARNING, "SMS", ["Development", "amoot"]),
    ({"public_url": None}, Level.WARNING, "PUBLIC_URL", ["@host", "https://your.site"]),
    ({"public_url": "http://site.example:81"}, Level.ERROR, "PUBLIC_URL", ["plain HTTP", "https://site.example:81"]),
    ({"public_url": "http://127.0.0.1:8000"}, Level.NOTE, "PUBLIC_URL", ["this machine"]),
    ({"public_url": "site.example"}, Level.ERROR, "PUBLIC_URL", ["https://site.example"]),
    ({"secret_keys": None}, Level.WARNING, "SECRET_KEYS", ["--django", "token_urlsafe"]),
    ({"secret_keys": f"{KEY},short", "tag_key": KEY}, Level.ERROR, "SECRET_KEYS", ["Key 2 of 2", "32 characters"]),
    ({"tag_key": "short"}, Level.ERROR, "TAG_KEY", ["32 characters", "token_urlsafe"]),
    ({"secret_keys": f"{KEY},{KEY}2"}, Level.WARNING, "TAG_KEY", ["Not set", "last of the secret keys"]),
    ({"store": "memory:"}, Level.WARNING, "STORE", ["memory of one process", "sqlite:////"]),
    ({"store": None}, Level.NOTE, "STORE", ["Django", "instance folder"]),
    ({"store": "mongodb://x"}, Level.ERROR, "STORE", ["store 'mongodb'", "memory:"]),
    ({"store": "sqlite:////there/is/none/x"}, Level.ERROR, "STORE", ["does not exist", "mkdir -p /there/is/none"]),
    ({"region": None}, Level.NOTE, "REGION", ["must enter numbers with +", "PHONE_VERIFY_REGION=IR"]),
    ({"region": "RU"}, Level.WARNING, "REGION", ["refused", "Add RU"]),
    ({"region": "XX"}, Level.ERROR, "REGION", ["ISO 3166"]),
    ({"allowed_regions": None}, Level.WARNING, "ALLOWED_REGIONS", ["reach IR only", "pumping", "REGIONS=IR,"]),
    ({"allowed_regions": None, "sms": "amoot://T@default?foreign=digits"}, Level.WARNING, "ALLOWED_REGIONS",
        ["any country", "pumping"]),
    ({"allowed_regions": "IR,RU"}, Level.WARNING, "ALLOWED_REGIONS", ["allows RU", "no configured driver"]),
    ({"sends_per_hour": "0"}, Level.WARNING, "SENDS_PER_HOUR", ["no limit", "SENDS_PER_HOUR=5"]),
    ({"sends_per_hour_per_address": "0"}, Level.WARNING, "SENDS_PER_HOUR_PER_ADDRESS", ["no limit"]),
    ({"sends_per_hour_per_client": "0"}, Level.WARNING, "SENDS_PER_HOUR_PER_CLIENT", ["no limit"]),
    ({"sends_per_hour_per_prefix": "0"}, Level.WARNING, "SENDS_PER_HOUR_PER_PREFIX", ["no limit", "pumping"]),
    ({"sends_per_hour_total": "0"}, Level.WARNING, "SENDS_PER_HOUR_TOTAL", ["no limit", "bill"]),
    ({"trusted_proxies": None}, Level.NOTE, "TRUSTED_PROXIES", ["proxy", "number of your proxies"]),
    ({}, Level.NOTE, "TRUSTED_PROXIES", ["number 1 from the right in X-Forwarded-For", "can forge"]),
    ({"trusted_proxies": None, "trusted_networks": "10.0.0.0/8"}, Level.NOTE, "TRUSTED_NETWORKS",
        ["last one outside these networks in X-Forwarded-For"]),
    ({"trusted_proxies": None, "trusted_networks": "unix", "client_address_header": "CF-Connecting-IP"}, Level.NOTE,
        "TRUSTED_NETWORKS", ["only one in cf-connecting-ip"]),
    ({"trusted_proxies": None, "client_address_header": "CF-Connecting-IP"}, Level.ERROR, "CLIENT_ADDRESS_HEADER",
        ["Needs PHONE_VERIFY_TRUSTED_NETWORKS", "anyone can send"]),
    ({"trusted_networks": "0.0.0.0/0"}, Level.ERROR, "TRUSTED_NETWORKS", ["contains every client"]),
    ({"trusted_origins": "https://app.example,http://app.example"}, Level.WARNING, "TRUSTED_ORIGINS",
        ["http://app.example is plain HTTP"]),
    ({"trusted_origins": "https://*.app.example"}, Level.ERROR, "TRUSTED_ORIGINS", ["Wildcards", "each origin"]),
    ({}, Level.NOTE, "PUBLIC_URL", ["__Host-", "SECURE_PROXY_SSL_HEADER", "ProxyFix"]),
    ({"ttl": "5"}, Level.ERROR, "TTL", ["30 seconds to 600"]),
    ({"max_attemts": "5"}, Level.WARNING, "MAX_ATTEMTS", ["Unknown setting", "mean PHONE_VERIFY_MAX_ATTEMPTS"]),
    ({"webhook_secret": "s3cr3t"}, Level.ERROR, "WEBHOOK_SECRET", ["22 characters", "token_urlsafe(24)"]),
    ({"secret_keys": "a" * 40}, Level.ERROR, "SECRET_KEYS", ["8 different characters", "token_urlsafe(48)"]),
    ({"inbound_call": "ssms://K@default"}, Level.WARNING, "WEBHOOK_SECRET", ["ssms", "webhook only"]),
    ({"sms": "ssms://K@default?sender=Shop", "inbound_call": "ssms://K@default"}, Level.WARNING,
        "SMS and PHONE_VERIFY_INBOUND_CALL", ["two drivers of one account", "same DSN text in PHONE_VERIFY_SMS"]),
    ({"sms": "ssms://a:b@default", "inbound_call": "ssms://K@default"}, Level.WARNING,
        "SMS and PHONE_VERIFY_INBOUND_CALL", ["may be two drivers of one account", "reported to ssms-2"]),
    ({"sms": "amoot://T@default amoot://T@default?auth=form"}, Level.WARNING, "SMS", ["one account", "Remove one"]),
    ({"test_passcodes": "nonsense"}, Level.ERROR, "TEST_PASSCODES", ["Entry 1", "+12025550123=482193@"]),
    ({"test_passcodes": f"+12025550123=482193@{TOMORROW}"}, Level.ERROR, "TEST_PASSCODES", ["fixed code"]),
    ({"test_passcodes": f"+989120000000=482193@{TOMORROW}", "test_passcodes_in_production": "+989120000000"},
        Level.WARNING, "TEST_PASSCODES", ["fixed code until", "Remove it"]),
    ({"test_passcodes": "+12025550123=482193@2020-01-01", "test_passcodes_in_production": "+12025550123"},
        Level.NOTE, "TEST_PASSCODES", ["Entry 1 has expired"]),
])  # fmt: skip
def test_each_mistake_is_reported_with_its_fix(
    change: dict[str, Any], level: Level, setting: str, words: list[str]
) -> None:
    text = about(examined(change), f"PHONE_VERIFY_{setting}" if setting else "", level)
    assert all(word in text for word in words), text


AMERICAN, IRANIAN = "+12025550123", "+989120000000"


@pytest.mark.parametrize(("change", "phone", "code", "words"), [
    ({}, AMERICAN, "482193", ["ALLOWED_REGIONS does not allow its region, US", "Add US to PHONE_VERIFY_ALLOWED"]),
    ({"allowed_regions": "IR,US"}, AMERICAN, "482193", ["no configured driver reaches it (US)", "add a driver"]),
    ({}, IRANIAN, "48219377", ["codes of 8 digits", "Use a code of 6 digits for it."]),
    ({"sms": "evand://ID:SECRET@default?event_id=1001 amoot://T@default"}, IRANIAN, "482193",
        ["in no channel does the first driver", "Put a driver first"]),
    ({"sms": None, "flash_call": "ferzz://K@default"}, "+79000000000", "482193", ["does not allow", "RU"]),
    ({"allowed_regions": None, "sms": "console://"}, "+18005550199", "482193", ["this kind", "mobile number"]),
])  # fmt: skip
def test_test_number_that_no_channel_serves_is_reported(
    change: dict[str, Any], phone: str, code: str, words: list[str]
) -> None:
    entry = {"test_passcodes": f"{phone}={code}@{TOMORROW}", "test_passcodes_in_production": phone}
    found = [text for text in bad(examined({**change, **entry})) if "cannot be verified by its code" in text]
    assert len(found) == 1
    text = " ".join(found[0].split())
    assert all(word in text for word in words), text
    assert phone not in text
    assert code not in text


@pytest.mark.parametrize(("change", "phone", "code"), [
    ({}, IRANIAN, "482193"),
    ({"sms": "amoot://T@default evand://ID:SECRET@default?event_id=1001"}, IRANIAN, "482193"),
    ({"flash_call": "ferzz://K@default", "channels": "flash_call"}, IRANIAN, "482193"),
    ({"code_length": "8"}, IRANIAN, "48219377"),
    ({"allowed_regions": None, "sms": "console://"}, AMERICAN, "482193"),
    ({"sms": None, "allowed_regions": None}, AMERICAN, "482193"),
])  # fmt: skip
def test_test_number_that_a_channel_serves_is_not_reported(change: dict[str, Any], phone: str, code: str) -> None:
    entry = {"test_passcodes": f"{phone}={code}@{TOMORROW}", "test_passcodes_in_production": phone}
    assert not any("cannot be verified by its code" in text for text in bad(examined({**change, **entry})))


def test_every_mistake_is_reported_most_severe_first() -> None:
    findings = examined(
        {
            "sms": "amoot:// nonsense console://",
            "flash_call": "ferzz://K@default?x=y",
            "ttl": "5",
            "code_length": "12",
            "region": "XX",
            "public_url": "ftp://x",
            "secret_keys": "a,b",
            "channels": "sms,carrier_pigeon",
            "sends_per_hour": "0",
        }
    )
    errors = [each.setting.removeprefix("PHONE_VERIFY_") for each in findings if each.level is Level.ERROR]
    assert sorted(errors) == sorted(
        ["SMS", "SMS", "FLASH_CALL", "TTL", "CODE_LENGTH", "REGION", "PUBLIC_URL", "SECRET_KEYS", "SECRET_KEYS",
         "CHANNELS"]
    )  # fmt: skip
    levels = [list(Level).index(each.level) for each in findings]
    assert levels == sorted(levels)
    assert Report.of(findings).summary.startswith("10 errors, ")


def refused_alone(name: str) -> bool:
    try:
        Settings.from_mapping({name: object()})
    except ConfigurationError:
        return True
    return False


@in_one_test
@pytest.mark.parametrize("name", [name for name in KNOWN if refused_alone(name)])
def test_wrong_setting_hides_no_other_mistake(name: str) -> None:
    other, value = ("ttl", 5) if name != "ttl" else ("max_attempts", 50)
    findings = examine(SiteConfig(values={name: object(), other: value}))
    told = {each.setting for each in findings if each.level is Level.ERROR}
    assert {f"PHONE_VERIFY_{name.upper()}", f"PHONE_VERIFY_{other.upper()}"} <= told


def test_unknown_site_key_is_an_error_and_variable_a_warning() -> None:
    findings = list(examine(SiteConfig(values={**SOUND, "smss": "x"})))
    assert "mean PHONE_VERIFY_SMS?" in about(findings, "PHONE_VERIFY_SMSS", Level.ERROR)


def test_no_secret_is_shown() -> None:
    planted = {
        "sms": "amoot://hunter2amoot@127.0.0.1:1?tls=off ssms://hunter2mail:hunter2pass@default:hunter2 hunter2bare",
        "flash_call": "ferzz://hunter2/key@default",
        "inbound_call": "ssms://hunter2key@127.0.0.1:1?tls=off",
        "secret_keys": f"hunter2first{KEY},hunter2second",
        "tag_key": "hunter2tag",
        "webhook_secret": "hunter2hook",
        "store": "postgresql://user:hunter2store@127.0.0.1:1/x",
        "test_passcodes": f"+12025550177=660066@{TOMORROW},+12025550178=771177@2099-01-01,hunter2entry",
    }
    values = {**SOUND, **planted}
    environ = {f"PHONE_VERIFY_{name.upper()}": value for name, value in values.items()}
    said: list[str] = []
    told = [
        text_of(each) for each in examine(SiteConfig(environ=environ), transport=BlockingTransport(), say=said.append)
    ]
    text = "\n".join(told + said)
    for secret in ("hunter2", "660066", "771177", "2025550177", "2025550178"):
        assert secret not in text
    assert "amoot could not be reached" in text
    assert "PHONE_VERIFY_STORE" in text


#: A credential in the forms in which it is pasted.
MISPLACED: list[Any] = [
    "amoot://HUNTER2x@default",
    ["ssms://HUNTER2x:y@default"],
    "HUNTER2x",
    "HUNTER2x:y@host",
    "sms=amoot://HUNTER2x",
    "postgresql://u:HUNTER2x@h/db?HUNTER2x=1",
    "redis://:a?HUNTER2x=1@h:1/0",
    {"token": "HUNTER2x"},
    "+98912HUNTER2x",
    "amoot://HUNTER2x@default.x",
    "redis://u:HUNTER2x@h:x/1",
    "postgresql://u:HUNTER2x@h:x/1",
]


@pytest.mark.slow
@in_one_test
@pytest.mark.parametrize(
    "name", [*(each for each in KNOWN if each != "site_name"), "accounts", "amoot://HUNTER2x@default", "HUNTER2x="]
)
def test_misplaced_credential_is_not_shown(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A DSN in the place of any other setting, or of a setting's name."""
    for value in MISPLACED:
        variables = [f"PHONE_VERIFY_{name.upper()}"] if value is MISPLACED[0] and name in KNOWN else []
        for given in [
            SiteConfig(values={**SOUND, name: value}),
            *(SiteConfig(values=SOUND | {name: None}, environ={variable: value}) for variable in variables),
        ]:
            shown = []
            try:
                given.site()
            except ConfigurationError as error:
                shown += traceback.format_exception(error)
            shown += [caplog.text, *map(str, examine(given))]
            assert "hunter2" not in "\n".join(shown).lower(), (name, value)


def test_misspelt_word_is_shown() -> None:
    findings = list(examine(SiteConfig(values={**SOUND, "channels": "sms,voicee", "region": "Iran"})))
    assert "'voicee'" in about(findings, "PHONE_VERIFY_CHANNELS", Level.ERROR)
    assert "'Iran'" in about(findings, "PHONE_VERIFY_REGION", Level.ERROR)


def test_webhook_address_shows_its_secret_only_when_asked() -> None:
    secret = "s-webhook-secret-0123456789abc"
    environ = {
        "PHONE_VERIFY_INBOUND_CALL": "ssms://K@default",
        "PHONE_VERIFY_PUBLIC_URL": "https://site.example",
        "PHONE_VERIFY_SECRET_KEYS": KEY,
    }
    given = SiteConfig(environ=environ, webhook_path=lambda driver, segment: f"/tel/webhooks/{driver}/{segment}")
    masked = about(list(examine(given)), "PHONE_VERIFY_INBOUND_CALL", Level.NOTE)
    assert "https://site.example/tel/webhooks/ssms/SECRET" in masked
    assert "--show-webhook-urls" in masked
    derived = about(list(examine(given, show_webhook_urls=True)), "PHONE_VERIFY_INBOUND_CALL", Level.NOTE)
    assert f"/ssms/{Keyring([KEY]).webhook_secrets[0]}" in derived
    environ["PHONE_VERIFY_WEBHOOK_SECRET"] = f"{secret},an-old-{secret}"
    shown = about(list(examine(given, show_webhook_urls=True)), "PHONE_VERIFY_INBOUND_CALL", Level.NOTE)
    assert f"https://site.example/tel/webhooks/ssms/{secret}" in shown
    usual = list(examine(SiteConfig(environ=environ)))
    assert "/phone/webhooks/ssms/SECRET (if the site is mounted at /phone/)" in about(
        usual, "PHONE_VERIFY_INBOUND_CALL", Level.NOTE
    )
    del environ["PHONE_VERIFY_PUBLIC_URL"]
    lost = [text_of(each) for each in examine(given) if each.setting == "PHONE_VERIFY_PUBLIC_URL"]
    assert any("webhook URL to set at ssms" in text for text in lost)


def test_unmounted_site_is_reported() -> None:
    def nowhere(driver: str, secret: str) -> str:
        raise ConfigurationError("the site's URLs do not include ours: write path(…)")

    given = SiteConfig(values={**SOUND, "inbound_call": "telefon-ip://T@default"}, webhook_path=nowhere)
    errors = [each for each in examine(given) if each.level is Level.ERROR]
    assert errors
    assert all("do not include ours" in each.says for each in errors)


def test_startup_only_errors_are_reported() -> None:
    def no_folder() -> str:
        raise ConfigurationError("PHONE_VERIFY_STORE: the instance folder cannot be made")

    given = SiteConfig(values={**SOUND, "store": None}, framework="Flask", default_store=no_folder)
    assert "Instance folder" not in about(list(examine(given)), "PHONE_VERIFY_STORE", Level.ERROR)
    twice = f"+12025550123=482193@{TOMORROW}"
    given = SiteConfig(values={**SOUND, "test_passcodes": [twice, twice]}, production=False)
    assert "listed twice" in about(list(examine(given)), "", Level.ERROR)


def test_framework_provides_keys_and_store() -> None:
    def no_key() -> list[str]:
        raise ConfigurationError("The SECRET_KEY setting must not be empty.")

    bare = {**SOUND, "secret_keys": None}
    with_key = list(examine(SiteConfig(values=bare, framework="Flask", framework_keys=lambda: [KEY])))
    assert bad(with_key) == []
    assert any("Flask's own SECRET_KEY" in each.says for each in with_key)
    short = list(examine(SiteConfig(values=bare, framework="Flask", framework_keys=lambda: ["short"])))
    assert "32 characters" in about(short, "SECRET_KEY", Level.ERROR)
    none = list(examine(SiteConfig(values=bare, framework="Flask")))
    assert "Flask's SECRET_KEY is not set" in about(none, "SECRET_KEY", Level.ERROR)
    empty = list(examine(SiteConfig(values=bare, framework="Django", framework_keys=no_key)))
    assert "must not be empty" in about(empty, "SECRET_KEY", Level.ERROR)


def test_development_site_may_use_sandbox_and_memory() -> None:
    findings = examined({"sms": "console://", "store": "memory:"}, production=False)
    assert not any("Development" in text or "memory" in text for text in bad(findings))
    assert "Development" in about(findings, "PHONE_VERIFY_SMS", Level.NOTE)


class Unreachable:
    """A store whose database is unavailable."""

    async def get(self, id: str, now: datetime | None) -> None:
        raise StoreError("The database could not do the step: OperationalError")


def asked(values: dict[str, Any], *answers: Any, **of_given: Any) -> tuple[list[Finding], list[str], FakeTransport]:
    """Return the findings for these provider responses, and the output meanwhile."""
    said: list[str] = []
    transport = FakeTransport(answers)
    given = SiteConfig(values={**SOUND, **values}, **of_given)
    return list(examine(given, transport=transport, say=said.append)), said, transport


def test_store_is_reported_available_or_unavailable(tmp_path: Path) -> None:
    away, said, _ = asked(
        {"sms": "console://", "store": "own:"}, framework="Django", stores={"own": lambda _: Unreachable()}
    )
    assert "OperationalError" in about(away, "PHONE_VERIFY_STORE", Level.ERROR)
    assert "migrate" in about(away, "PHONE_VERIFY_STORE", Level.ERROR)
    assert said == ["Checking the store…"]
    file = tmp_path / "x.sqlite3"
    to_be, _, _ = asked({"sms": "console://", "store": f"sqlite:///{file}"})
    assert any("created when it is first used" in each.says for each in to_be)
    assert not file.exists()
    file.touch()
    there, _, _ = asked({"sms": "console://", "store": f"sqlite:///{file}"})
    assert any(each.says == "The store answers." for each in there)
    file.write_bytes(b"no database at all, but some other file" * 100)
    broken, _, _ = asked({"sms": "console://", "store": f"sqlite:///{file}"})
    assert "does not answer" in about(broken, "PHONE_VERIFY_STORE", Level.ERROR)


def test_evicting_server_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(RedisServer(tmp_path, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")) as server:
        values = {"sms": "console://", "store": server.url}
        findings, said, _ = asked(values)
        text = about(findings, "PHONE_VERIFY_STORE", Level.WARNING)
        assert "maxmemory-policy allkeys-lru" in text
        assert "\nSet in redis.conf" in text
        assert "maxmemory-policy noeviction" in text
        assert any(each.says == "The store answers." for each in findings)
        assert said == ["Checking the store…"]
        assert not any("noeviction" in text_of(each) for each in examined(values)), "offline nobody is asked"
        with server.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            assert not any("noeviction" in text for text in bad(asked(values)[0]))
            client.execute_command("ACL", "SETUSER", "default", "-info")
        assert "+info" in about(asked(values)[0], "PHONE_VERIFY_STORE", Level.WARNING)
        assert caplog.text == "", "what the doctor tells is not logged besides"
    away = about(asked(values)[0], "PHONE_VERIFY_STORE", Level.ERROR)
    assert "does not answer" in away
    assert "cannot be reached" in away


def test_store_file_that_others_can_read_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite3"
    file.touch()
    for mode, told in ((0o644, True), (0o640, False), (0o600, False)):
        file.chmod(mode)
        findings = [text_of(each) for each in examined({"store": f"sqlite:///{file}"})]
        assert any(f"chmod 600 {file}*" in text for text in findings) is told


def test_unwritable_folder_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    # Root may write everywhere except in the kernel's file systems.
    folder = tmp_path if os.geteuid() else Path("/proc/self")
    findings = examined({"store": f"sqlite:///{folder}/x.sqlite3"})
    assert "may not write" in about(findings, "PHONE_VERIFY_STORE", Level.ERROR)


@pytest.mark.parametrize(("answer", "level", "words"), [
    (ProviderError(FailureKind.TRANSIENT, "connection refused by x"), Level.ERROR,
        ["could not be reached", "can connect to that host", "PHONE_VERIFY_SMS"]),
    (UnclearError("no complete response: x timed out after 10 s"), Level.WARNING,
        ["response was unclear", "timed out", "phone-verify send"]),
    (HttpResponse(401), Level.ERROR, ["refused the credential", "HTTP 401", "Check PHONE_VERIFY_SMS"]),
    (HttpResponse(402), Level.ERROR, ["balance is used up", "Top up your account"]),
    (HttpResponse(429), Level.WARNING, ["too many requests", "later"]),
    (HttpResponse(503), Level.ERROR, ["could not be reached", "HTTP 503"]),
    (HttpResponse(404), Level.WARNING, ["undocumented", "HTTP 404"]),
])  # fmt: skip
def test_provider_account_errors_are_explained(answer: Any, level: Level, words: list[str]) -> None:
    findings, said, transport = asked({}, answer)
    text = about(findings, "PHONE_VERIFY_SMS", level)
    assert all(word in text for word in words), text
    assert said == ["Checking the account at amoot…"]
    assert len(transport.requests) == 1


@pytest.mark.parametrize(("variant", "level"), [("otp", None), ("no_otp", Level.WARNING), ("none", Level.WARNING)])
def test_missing_template_is_reported(variant: str, level: Level | None) -> None:
    with SandboxServer() as server:
        server.sandbox.faults.put("amoot", None, Fault(variants={"templates": variant}))
        values = {**SOUND, "sms": server.dsn}
        findings = list(examine(SiteConfig(values=values, production=False), transport=BlockingTransport()))
    found = [each for each in findings if "template" in each.says]
    assert [each.level for each in found] == ([level] if level else [])
    assert all("OTP option" in each.says and "page of amoot" in each.advice for each in found)


def test_templates_that_cannot_be_queried_are_a_note() -> None:
    account = b'{"Status": "Success", "RemaindCredit": 25000}'
    findings, _, _ = asked(
        {}, HttpResponse(200, {}, account), HttpResponse(200, {}, b'{"Status": "Token_NotAllowMethod"}')
    )
    (note,) = [each for each in findings if "could not be checked" in each.says]
    assert (note.level, note.setting) == (Level.NOTE, "PHONE_VERIFY_SMS")
    assert "Token_NotAllowMethod" in note.says


def test_unqueried_drivers_are_named() -> None:
    findings, said, transport = asked({"sms": "console://", "flash_call": "ferzz://K@default"})
    told = [text_of(each) for each in findings if each.setting == "PHONE_VERIFY_FLASH_CALL"]
    assert any("ferzz cannot be checked without sending" in text and "phone-verify send" in text for text in told)
    assert said == []
    assert transport.requests == []
    assert transport.notices == []
    assert not any("ferzz cannot be checked" in each.says for each in examined({"flash_call": "ferzz://K@default"}))


def test_sandbox_is_queried_over_http_and_nothing_is_sent(sandbox: SandboxServer) -> None:
    values = {"sms": sandbox.dsn, "inbound_call": sandbox.dsn}
    before = sandbox.sandbox.network.handsets()
    findings = list(examine(SiteConfig(values={**SOUND, **values}), transport=BlockingTransport()))
    works = [each.says for each in findings if each.level is Level.OK and "the credential works" in each.says]
    assert [text.partition(":")[0] for text in works] == ["amoot", "telefon-ip"]
    assert "balance" in works[0]
    assert sandbox.sandbox.network.handsets() == before


def test_finding_is_wrapped_and_breaks_no_address() -> None:
    address = "https://site.example/" + "a" * 120
    found = [
        Finding(Level.OK, "", "Fine.", id="PV609"),
        Finding(Level.WARNING, "PHONE_VERIFY_X", "word " * 40, f"Write {address}", id="PV401"),
        Finding(Level.WARNING, "", "Long.", id="phone_verify.W006"),
    ]
    lines = [line.head + line.text for line in Report.of(found).lines(60)]
    assert lines[:4] == ["! no errors, 2 warnings, no notes", "", "Warnings", "! PV401   PHONE_VERIFY_X"]
    assert all(len(line) <= 60 for line in lines if address not in line)
    assert [line for line in lines if address in line] == [f"            {address}"]
    assert lines[-5:] == ["! phone_verify.W006", "          Long.", "", "Passed", "✓ PV609   Fine."]


def test_ignored_findings_are_counted_and_errors_stay() -> None:
    found = [Finding(level, "", level, id="PV101") for level in (Level.WARNING, Level.ERROR, Level.NOTE)]
    report = Report.of(found, ["PV101"])
    assert report.summary == "1 error, no warnings, no notes, 2 ignored"
    assert [each.level for each in report.findings] == [Level.ERROR]


def test_warnings_fail_in_strict_mode_only() -> None:
    report = Report.of([Finding(Level.WARNING, "", "", id="PV401"), Finding(Level.NOTE, "", "", id="PV601")])
    assert (report.failed(), report.failed(strict=True)) == (False, True)
    assert not Report.of(report.findings, ["PV401"]).failed(strict=True)


@pytest.mark.parametrize(("given", "error"), [
    (["PV9"], "unknown id 'PV9'"),
    (["PV401,pv41"], "did you mean PV4"),
])  # fmt: skip
def test_unknown_id_to_ignore_is_refused(given: list[str], error: str) -> None:
    with pytest.raises(ConfigurationError, match=error):
        read_ids(given)
    assert read_ids(["PV401, PV409", "phone_verify_otp.W001"]) == ["PV401", "PV409", "phone_verify_otp.W001"]


def test_every_id_in_the_code_is_in_the_catalogue() -> None:
    folder = Path(phone_verify.doctor.__file__).parent
    adapters = [folder.parents[1] / name for name in ("phone_verify_django", "phone_verify_flask")]
    sources = [path for place in (folder, *adapters) for path in place.rglob("*.py") if path.name != "finding.py"]
    used = {id for path in sources for id in re.findall(r'"(PV\d+)"', path.read_text("utf-8"))}
    assert used == set(CATALOGUE)


def test_catalogue_is_in_the_documentation() -> None:
    page = (Path(phone_verify.doctor.__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
    assert [id for id in CATALOGUE if f"| `{id}` |" not in page] == []


EVAND = "evand://CLIENT:SECRET@default?event_id=1001"


def test_segments_of_a_message_are_counted_in_every_language() -> None:
    usual = {"sms": "ssms://FAKE-KEY@default", "public_url": "https://site.example", "site_name": "Lake"}
    (note,) = [each for each in examined(usual) if "segments" in each.says]
    assert note.level is Level.NOTE
    assert "en 1, fa 1, ru 1, ar 1" in note.says
    assert "shorter" not in note.advice
    (note,) = [
        each
        for each in examined({**usual, "public_url": "https://a-host-of-thirty-characters.net"})
        if "segm" in each.says
    ]
    assert (note.level, note.setting) == (Level.NOTE, "PHONE_VERIFY_PUBLIC_URL")
    assert "fa 2" in note.says
    assert "up to 20 characters" in note.says
    named = {**usual, "public_url": None, "site_name": "A very long name " * 8}
    long = about(examined(named), "PHONE_VERIFY_SITE_NAME", Level.WARNING)
    assert "segments" in long
    assert "shorter" in long
    eight = {**usual, "purposes": "payout:length=8", "public_url": "https://host-of-20-chars.org"}
    assert any("fa 1" in each.says for each in examined(eight))
    assert not [each for each in examined({"sms": EVAND}) if "segments" in each.says]


def written(path: Path, texts: object) -> str:
    path.write_text(json.dumps(texts), "utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("setting", "origin"),
    [
        ("trusted_origins", "https://an-app-with-a-long-name.example"),
        ("frame_ancestors", "https://partner.example"),
        ("frame_ancestors", "https://*.partner.example"),
    ],
)
def test_segments_of_own_texts_include_the_lines_of_other_pages(tmp_path: Path, setting: str, origin: str) -> None:
    file = written(tmp_path / "texts.json", {"login": {"fa": "{code} " + "ش" * 36}})
    site = {"sms": "ssms://FAKE-KEY@default", "public_url": "https://site.example", "texts": file}
    assert "PV214" not in {each.id for each in examined(site)}
    assert "login in fa" in {each.id: each.says for each in examined({**site, setting: origin})}["PV214"]


def test_segments_of_own_texts_are_counted_and_long_ones_named(tmp_path: Path) -> None:
    texts = {"login": {"en": "{code} for {site}", "fa": "{code} " + "ش" * 70}, "*": {"ru": "{code}"}}
    file = written(tmp_path / "texts.json", texts)
    site = {"sms": "ssms://FAKE-KEY@default", "public_url": "https://site.example", "texts": file}
    found = {each.id: each for each in examined(site)}
    assert "login in en 1, login in fa 2, * in ru 1." in found["PV213"].says
    assert found["PV214"].level is Level.WARNING
    assert "login in fa." in found["PV214"].says
    assert "en" not in found["PV214"].says.partition(":")[2].split()
    [note] = [each for each in examined({"sms": EVAND, "texts": file}) if each.id == "PV212"]
    assert note.setting == "PHONE_VERIFY_TEXTS"


def test_hash_of_an_app_is_compared_with_pages_and_length(tmp_path: Path) -> None:
    site = {"sms": "ssms://FAKE-KEY@default", "public_url": "https://site.example"}

    def ids(**more: object) -> set[str]:
        return {each.id for each in examined({**site, **more})} & {"PV215", "PV216"}

    assert ids(android_hash="signup=FA+9qCX9VSu") == set()
    assert ids(android_hash="FA+9qCX9VSu") == {"PV216"}
    assert ids(android_hash="signup=FA+9qCX9VSu,login=FA+9qCX9VSu") == {"PV216"}
    long = written(tmp_path / "texts.json", {"signup": {"en": "{code} " + "x" * 130}})
    assert ids(android_hash="signup=FA+9qCX9VSu", texts=long) == {"PV215"}


def test_before_send_that_does_not_exist_is_reported() -> None:
    [found] = [each for each in examined({"before_send": "nowhere.at_all"}) if each.level is Level.ERROR]
    assert "Cannot import 'nowhere.at_all': No module named 'nowhere'" in found.says
    assert "Use the dotted path of a function, like mysite.captcha.check" in found.advice


@pytest.mark.parametrize(
    "dsns",
    [
        {"sms": "ssms://K@default", "inbound_call": "ssms://K@default"},
        {"sms": "ssms://K@default", "inbound_call": "ssms://L@default"},
        {"sms": "ssms://K@default", "flash_call": "ssms://a:b@default"},
        {"sms": "ssms://K@default", "inbound_call": "ssms://K@127.0.0.1:8025?tls=off"},
    ],
)
def test_drivers_of_separate_accounts_are_not_reported(dsns: dict[str, str]) -> None:
    assert not [each for each in examined(dsns) if "one account" in each.says]


def test_notices_need_a_driver_with_free_text() -> None:
    def told(**change: Any) -> str:
        found = examined({"notify_old_number": "1", **change})
        return " ".join(f.says for f in found if "NOTIFY_OLD_NUMBER" in f.setting)

    assert "no SMS driver can send a text" in told(sms="amoot://TOKEN@default")
    assert told(sms="ssms://KEY@default") == ""


@in_one_test
@pytest.mark.parametrize(
    ("allowed", "named"),
    [
        ("GB", "GG, IM, JE"),
        ("GB,JE", "GG, IM"),
        ("FR", "BL, GF, GP, MF, MQ, PM, RE, YT"),
        ("RU", "KZ"),
        ("NO", "SJ"),
        ("IT", "VA"),
        ("AU", "CC, CX"),
        ("FI", "AX"),
        ("MA", "EH"),
        ("US", "AG, AI, AS, BB, BM, BS, CA, DM,"),
    ],
)
def test_regions_of_a_shared_plan_are_named(allowed: str, named: str) -> None:
    found = [each for each in examined({"allowed_regions": allowed}) if each.id == "PV506"]
    assert [each.level for each in found] == [Level.NOTE]
    assert f"It allows {allowed.replace(',', ', ')}, and not {named}" in found[0].says
    assert "fraud" in (found[0].advice or "")


@pytest.mark.parametrize("allowed", ["IR", "GB,GG,IM,JE", "RU,KZ", None])
def test_whole_plan_needs_no_note(allowed: str | None) -> None:
    assert [each for each in examined({"allowed_regions": allowed}) if each.id == "PV506"] == []


_TWILIO = "twilio://AC0000:TOKEN@default?sender=%2B15005550001"
_TWILIO_VERIFY = "twilio-verify://AC0000:TOKEN@default?service=VA0000"


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        ({"sms": _TWILIO}, Level.WARNING, "Set a driver for IR before twilio"),
        ({"sms": _TWILIO_VERIFY}, Level.WARNING, "Set a driver for IR before twilio-verify"),
        ({"sms": _TWILIO, "allowed_regions": None}, Level.WARNING, "Set a driver for IR"),
        ({"sms": _TWILIO, "region": "US", "allowed_regions": "US,SY"}, Level.WARNING, "Set a driver for SY"),
        ({"sms": f"amoot://TOKEN@default {_TWILIO}"}, Level.NOTE, "amoot can. Keep twilio behind it"),
        ({"sms": f"{_TWILIO} ssms://KEY@default"}, Level.WARNING, "Set a driver for IR"),
        ({"voice": _TWILIO_VERIFY}, Level.WARNING, "Set a driver for IR"),
    ],
)
def test_provider_that_serves_no_number_of_a_region_is_named(change: dict[str, Any], level: Level, said: str) -> None:
    found = [each for each in examined(change) if each.id == "PV507"]
    assert [each.level for each in found] == [level]
    assert found[0].says.startswith("Twilio ")
    assert said in f"{found[0].says} {found[0].advice}"


@pytest.mark.parametrize(
    "change",
    [
        {"sms": _TWILIO, "region": "DE", "allowed_regions": "DE"},
        {"sms": _TWILIO, "region": None, "allowed_regions": None},
        {"voice": "sandbox://127.0.0.1:8025", "whatsapp": "sandbox://127.0.0.1:8025"},
    ],
)
def test_provider_that_serves_the_regions_is_not_named(change: dict[str, Any]) -> None:
    assert [each for each in examined(change) if each.id == "PV507"] == []


def test_region_that_no_driver_reaches_is_reported() -> None:
    change = {"sms": None, "flash_call": "plusofon://TOKEN@default", "allowed_regions": None}
    assert [each.level for each in examined(change) if each.id == "PV508"] == [Level.WARNING]
    assert [each for each in examined({**change, "region": "RU"}) if each.id == "PV508"] == []
    assert [each.id for each in examined({**change, "allowed_regions": "IR"}) if each.id in ("PV503", "PV508")] == [
        "PV503"
    ]


def test_trusted_origins_are_named() -> None:
    """With the entries of the framework's list that are not trusted, without their passwords."""
    findings = examined({"trusted_origins": "http://localhost:5173,capacitor://localhost"})
    assert bad(findings) == []
    assert [each.says for each in findings if each.id == "PV414"] == [
        "Pages and apps of these origins may call the API for a visitor: http://localhost:5173, capacitor://localhost."
    ]
    findings = examined(
        framework_origins=["https://*.a.example", "https://user:hunter2@b.example", "https://c.example"]
    )
    assert "does not trust https://*.a.example, b.example," in about(
        findings, "PHONE_VERIFY_TRUSTED_ORIGINS", Level.NOTE
    )
    assert "hunter2" not in "".join(map(text_of, findings))
