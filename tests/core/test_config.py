"""Settings to a configured site, and every refusal at startup."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from phone_verify.config.drivers import load_drivers
from phone_verify.config.settings import CHANNEL_NAMES, KNOWN, Settings
from phone_verify.config.site import build_site
from phone_verify.errors import ConfigurationError
from phone_verify.model import Channel
from phone_verify.purposes import CodeLimits
from phone_verify.stores.memory import MemoryStore
from tests.cases import in_one_test

KEY = "k-key-for-tests-0123456789abcdef"


def site(**values: Any) -> Any:
    return build_site(Settings.from_mapping({"secret_keys": [KEY], "store": "memory:", **values}))


def names(**dsns: str) -> dict[str, list[str]]:
    by_channel = load_drivers({channel: text.split() for channel, text in dsns.items()})
    return {channel.value: [driver.name for driver in drivers] for channel, drivers in by_channel.items()}


def test_environment_alone_configures_a_site() -> None:
    environ = {
        "PHONE_VERIFY_SMS": "amoot://T1@default\n amoot://T2@default",
        "PHONE_VERIFY_FLASH_CALL": "ferzz://K@default",
        "PHONE_VERIFY_CHANNELS": "flash_call, sms",
        "PHONE_VERIFY_SECRET_KEYS": f"{KEY},{KEY}2",
        "PHONE_VERIFY_ALLOWED_REGIONS": "IR,RU",
        "PHONE_VERIFY_REGION": "IR",
        "PHONE_VERIFY_TTL": "120",
        "PHONE_VERIFY_MAX_ATTEMPTS": "4",
        "PHONE_VERIFY_PUBLIC_URL": "https://Site.Example/",
        "PHONE_VERIFY_TRUSTED_PROXIES": "2",
        "PHONE_VERIFY_SITE_NAME": "",
        "PHONE_VERIFY_STORE": "memory:",
        "PATH": "/bin",
    }
    settings = Settings.from_mapping(environ=environ)
    assert settings.policy.ttl == timedelta(seconds=120)
    assert settings.policy.max_attempts == 4
    assert settings.policy.allowed_regions == {"IR", "RU"}
    assert settings.site_name == "site.example"
    made = build_site(settings)
    assert made.public_url == "https://site.example"
    assert made.secure_cookies
    assert made.proxies.count == 2
    assert list(made.verifier.channels) == [Channel.FLASH_CALL, Channel.SMS]
    assert set(made.verifier.drivers) == {"amoot", "amoot-2", "ferzz"}


@pytest.mark.parametrize("after", ["0", "10", "600"])
def test_time_of_the_next_channel_reaches_the_site(after: str) -> None:
    environ = {
        "PHONE_VERIFY_NEXT_CHANNEL_AFTER": after,
        "PHONE_VERIFY_NEXT_CHANNEL_SENDS_BY_ITSELF": str(int(after > "0")),
    }
    made = build_site(Settings.from_mapping({"secret_keys": [KEY], "store": "memory:"}, environ))
    assert made.next_channel_after == timedelta(seconds=int(after))
    assert made.next_channel_sends_by_itself == (after != "0")
    off = site()
    assert (off.next_channel_after, off.next_channel_sends_by_itself) == (timedelta(0), False)


def test_mapping_wins_over_the_environment() -> None:
    environ = {"PHONE_VERIFY_TTL": "120", "PHONE_VERIFY_MAX_ATTEMPTS": "2"}
    settings = Settings.from_mapping({"ttl": 90, "max_attempts": None, "allowed_regions": ["IR"]}, environ)
    assert (settings.policy.ttl, settings.policy.max_attempts) == (timedelta(seconds=90), 2)


@in_one_test
@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"colour": "red"}, "unknown setting PHONE_VERIFY_COLOUR"),
        ({"ttl": "soon"}, "PHONE_VERIFY_TTL must be a whole number"),
        ({"ttl": "29"}, "PHONE_VERIFY_TTL must be from 30 seconds to 600 seconds"),
        ({"max_attempts": True}, "PHONE_VERIFY_MAX_ATTEMPTS must be a whole number"),
        ({"code_length": 9}, "PHONE_VERIFY_CODE_LENGTH must be from 4 to 8"),
        ({"max_failures": "101"}, "PHONE_VERIFY_MAX_FAILURES"),
        ({"resend_after": -1}, "PHONE_VERIFY_RESEND_AFTER"),
        ({"sends_per_hour": "-1"}, "PHONE_VERIFY_SENDS_PER_HOUR"),
        ({"trusted_proxies": "-1"}, "PHONE_VERIFY_TRUSTED_PROXIES"),
        ({"channels": "sms,pigeon"}, "unknown channel 'pigeon'"),
        ({"channels": "voice"}, "PHONE_VERIFY_VOICE"),
        ({"region": "UK"}, "'UK' is not a region"),
        ({"allowed_regions": "IR,iran"}, "'iran' is not a region"),
        ({"public_url": "site.example"}, "PHONE_VERIFY_PUBLIC_URL"),
        ({"public_url": "https://site.example/path"}, "PHONE_VERIFY_PUBLIC_URL"),
        ({"public_url": "https://user@site.example"}, "PHONE_VERIFY_PUBLIC_URL"),
        ({"public_url": "https://site.example:99999"}, "PHONE_VERIFY_PUBLIC_URL"),
        ({"webhook_secret": "a/b"}, "PHONE_VERIFY_WEBHOOK_SECRET"),
        ({"webhook_secret": "0123456789abcdef-1234"}, "PHONE_VERIFY_WEBHOOK_SECRET"),
        ({"webhook_secret": "w" * 40}, "PHONE_VERIFY_WEBHOOK_SECRET"),
        ({"secret_keys": ["k" * 40]}, "PHONE_VERIFY_SECRET_KEYS"),
        ({"store": "mongo://x"}, "PHONE_VERIFY_STORE: unknown store 'mongo'"),
        ({"store": "memory"}, "PHONE_VERIFY_STORE: unknown store 'memory'"),
        ({"sms": "amoot://T@default?name="}, "name"),
        ({"store": 5}, "PHONE_VERIFY_STORE must be a string"),
        ({"secret_keys": ["short"]}, "PHONE_VERIFY_SECRET_KEYS"),
        ({"secret_keys": []}, "PHONE_VERIFY_SECRET_KEYS is empty"),
        ({"sms": 5}, "PHONE_VERIFY_SMS must be DSNs"),
        ({"sms": "pigeon://T@default"}, "pigeon"),
        ({"sms": "ferzz://K@default"}, "does not carry sms"),
        ({"sms": "sandbox://sandbox.example:8025"}, "sandbox://127.0.0.1:8025"),
        ({"sms": "sandbox://127.0.0.1:8025?tls=on"}, "options timeout and name"),
        ({"sms": "amoot://T@default?name=a amoot://U@default?name=a"}, "two drivers are named 'a'"),
        ({"sms": "amoot://T@default?name=A/B"}, "option 'name'"),
        ({"next_channel_after": 9}, "PHONE_VERIFY_NEXT_CHANNEL_AFTER must be 0 (off) or from 10 to 600 seconds"),
        ({"next_channel_after": "601"}, "PHONE_VERIFY_NEXT_CHANNEL_AFTER must be 0 (off) or from 10 to 600 seconds"),
        ({"next_channel_after": -1}, "PHONE_VERIFY_NEXT_CHANNEL_AFTER must be 0 (off) or from 10 to 600 seconds"),
        ({"next_channel_after": "soon"}, "PHONE_VERIFY_NEXT_CHANNEL_AFTER must be a whole number"),
        ({"next_channel_sends_by_itself": "maybe"}, "PHONE_VERIFY_NEXT_CHANNEL_SENDS_BY_ITSELF must be True or False"),
        ({"next_channel_sends_by_itself": True}, "SENDS_BY_ITSELF needs PHONE_VERIFY_NEXT_CHANNEL_AFTER"),
        ({"purposes": "payout:closed"}, "payout:length=8;ttl=120"),
        ({"purposes": "payout:"}, "payout:length=8;ttl=120"),
        ({"purposes": "payout:length=8;length=6"}, "payout:length=8;ttl=120"),
        ({"purposes": "payout:length=eight"}, "payout:length=8;ttl=120"),
        ({"purposes": "payout:length=3"}, "PHONE_VERIFY_PURPOSES: length of payout must be from 4 to 8"),
        ({"purposes": "payout:length=9"}, "length of payout must be from 4 to 8"),
        ({"purposes": "payout:ttl=601"}, "ttl of payout must be from 30 seconds to 600 seconds"),
        ({"purposes": "payout:ttl=29"}, "ttl of payout must be from 30 seconds to 600 seconds"),
        ({"purposes": "payout,payout:ttl=60"}, "payout is listed twice"),
        ({"purposes": "login:ttl=60,login:length=4"}, "login is listed twice"),
        ({"purposes": "login"}, "login is built in"),
        ({"purposes": "confirm:open;ttl=60"}, "confirm is built in"),
        ({"purposes": "wire:require="}, "wire_transfer:require=sms+inbound_call"),
        ({"purposes": "wire:require=sms+"}, "wire_transfer:require=sms+inbound_call"),
        ({"purposes": "wire:require=sms;require=voice"}, "wire_transfer:require=sms+inbound_call"),
        ({"purposes": "wire:require=sms+sms"}, "wire requires a channel twice"),
        (
            {"purposes": "wire:require=sms+pigeon"},
            "PHONE_VERIFY_PURPOSES: unknown channel 'pigeon'; known",
        ),
        ({"purposes": "wire:require=sms+inbound_call"}, "set PHONE_VERIFY_SMS or leave sms out"),
        (
            {"purposes": "wire:require=sms+inbound_call", "sms": "amoot://T@default"},
            "wire requires inbound_call, but no driver carries it: set PHONE_VERIFY_INBOUND_CALL",
        ),
        ({"purposes": "second_factor:require=sms+inbound_call"}, "second_factor cannot require channels"),
        ({"purposes": "login:require=sms,login:ttl=60"}, "login is listed twice"),
    ],
)
def test_invalid_setting_is_refused_by_name(values: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        site(**values)
    assert says in str(refused.value)


def test_purposes_have_rules_for_access_and_codes() -> None:
    text = "checkout,guest_checkout:open,payout:length=8;ttl=120,gift:ttl=60;open,login:length=7"
    purposes = Settings.from_mapping({"purposes": text}).purposes
    assert purposes.own == {"checkout": False, "guest_checkout": True, "payout": False, "gift": True}
    assert purposes.limits == {
        "payout": CodeLimits(8, timedelta(seconds=120)),
        "gift": CodeLimits(None, timedelta(seconds=60)),
        "login": CodeLimits(7),
    }


def test_purposes_may_require_several_channels() -> None:
    text = "wire:require=sms+inbound_call;length=8,login:require=inbound_call+sms,gift:open;require=sms"
    settings = Settings.from_mapping({"purposes": text})
    assert settings.purposes.own == {"wire": False, "gift": True}
    assert settings.purposes.limits == {"wire": CodeLimits(8)}
    assert settings.policy.required_channels == {
        "wire": [Channel.SMS, Channel.INBOUND_CALL],
        "login": [Channel.INBOUND_CALL, Channel.SMS],
        "gift": [Channel.SMS],
    }
    assert site(purposes=text, sms="ssms://K@default", inbound_call="ssms://K@default").verifier.channels


@pytest.mark.parametrize(("one", "other"), [("login", "signup"), ("change_phone", "confirm")])
def test_purposes_with_the_same_effect_cannot_require_different_channels(one: str, other: str) -> None:
    both = "{}:require=sms+inbound_call,{}:require={}"
    with pytest.raises(ConfigurationError, match="same effect"):
        Settings.from_mapping({"purposes": both.format(one, other, "sms")})
    assert Settings.from_mapping({"purposes": both.format(one, other, "inbound_call+sms")})


def test_no_error_shows_a_credential() -> None:
    for text in (
        "ferzz://S3CRET@default",
        "amoot://S3CRET@default?x=y",
        "amoot://S3CRET@[bad",
        "pigeon://S3CRET@default",
    ):
        with pytest.raises(ConfigurationError) as refused:
            site(sms=text)
        assert "S3CRET" not in str(refused.value)
        assert refused.value.__cause__ is None
    assert "S3CRET" not in repr(Settings.from_mapping({"sms": "amoot://S3CRET@default", "secret_keys": ["S3CRET" * 9]}))


def test_one_dsn_is_one_driver_and_others_are_numbered() -> None:
    one = "telefon-ip://T@default"
    assert names(flash_call=one, inbound_call=one) == {"flash_call": ["telefon-ip"], "inbound_call": ["telefon-ip"]}
    assert names(sms="amoot://A@default telefon-ip://X@default amoot://B@default", telegram=one) == {
        "sms": ["amoot", "telefon-ip", "amoot-2"],
        "telegram": ["telefon-ip-2"],
    }
    assert names(sms="amoot://A@default?name=main amoot://B@default") == {"sms": ["main", "amoot"]}


def test_sandbox_replaces_the_providers_hosts() -> None:
    dsn = "sandbox://127.0.0.1:8025"
    assert names(**dict.fromkeys(CHANNEL_NAMES, dsn)) == {
        "sms": ["amoot"],
        "flash_call": ["ferzz"],
        "inbound_call": ["telefon-ip"],
        "voice": ["twilio-verify"],
        "telegram": ["telefon-ip"],
        "whatsapp": ["twilio"],
    }


def test_framework_keys_sign_by_default() -> None:
    made = build_site(Settings.from_mapping({"store": "memory:"}), framework_keys=[KEY])
    again = build_site(Settings.from_mapping({"store": "memory:", "secret_keys": KEY}))
    assert list(made.webhook_secrets) == list(again.webhook_secrets)
    assert all(len(secret) == 43 for secret in made.webhook_secrets)
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_SECRET_KEYS is empty"):
        build_site(Settings.from_mapping({"store": "memory:"}))


def test_webhook_secrets_derive_from_keys_unless_one_is_set() -> None:
    assert len(site(secret_keys=[KEY, "l-key-for-tests-0123456789abcdef"]).webhook_secrets) == 2
    assert list(site(webhook_secret="mine-0123456789abcdefgh").webhook_secrets) == ["mine-0123456789abcdefgh"]


def test_adapter_may_bring_its_own_store() -> None:
    seen: list[str] = []

    def open_own(url: str) -> MemoryStore:
        seen.append(url)
        return MemoryStore()

    build_site(Settings.from_mapping({"secret_keys": KEY}), stores={"orm": open_own}, default_store="orm:")
    assert seen == ["orm:"]


def test_file_store_is_opened_by_its_url(tmp_path: Path) -> None:
    site(store=f"sqlite:///{tmp_path}/x.sqlite3")
    with pytest.raises(ConfigurationError, match="memory:"):
        site(store="sqlite://")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "store", "extra"),
    [
        ("sqlalchemy", "sqlite:///x.sqlite3", "phone-verify[sql]"),
        ("psycopg", "postgresql://127.0.0.1/test", "phone-verify[sql,postgresql]"),
        ("pymysql", "mysql://127.0.0.1/test", "phone-verify[sql,mysql]"),
    ],
)
def test_missing_package_is_named_with_its_extra(package: str, store: str, extra: str) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from phone_verify import ConfigurationError, Settings, build_site\n"
        f"try: build_site(Settings.from_mapping({{'secret_keys': {KEY!r}, 'store': {store!r}}}))\n"
        "except ConfigurationError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert f"pip install '{extra}'" in done.stdout


def test_every_setting_of_the_contract_is_known() -> None:
    assert len(KNOWN) == len(set(KNOWN))


def test_framework_keys_meet_the_same_rules() -> None:
    read, insecure = Settings.from_mapping({"store": "memory:"}), f"django-insecure-{KEY}"
    for keys in (["a" * 50], [KEY, "b" * 50], [insecure]):
        with pytest.raises(ConfigurationError, match=r"^SECRET_KEY: .*token_urlsafe"):
            build_site(read, framework_keys=keys)
    assert build_site(read, framework_keys=[insecure], production=False)
    with pytest.raises(ConfigurationError, match="different characters"):
        build_site(read, framework_keys=["a" * 50], production=False)


def test_short_webhook_secret_is_refused_after_a_good_one() -> None:
    with pytest.raises(ConfigurationError, match=r"22 characters .*token_urlsafe\(24\)") as refused:
        site(webhook_secret="new-secret-0123456789abc,old-secret")
    assert "old-secret" not in str(refused.value)


def test_several_webhook_secrets_work_and_the_first_is_used() -> None:
    assert site(webhook_secret="new-secret-0123456789abc, old-secret-0123456789abc").webhook_secrets == [
        "new-secret-0123456789abc",
        "old-secret-0123456789abc",
    ]
    assert site(webhook_secret="one-secret-0123456789abc").webhook_secrets == ["one-secret-0123456789abc"]
    with pytest.raises(ConfigurationError, match="WEBHOOK_SECRET"):
        site(webhook_secret="new-secret-0123456789abc,old/secret")


def test_other_hosts_share_everything_but_their_texts() -> None:
    urls = ["https://Shop-B.example/", "https://shop-c.example:8443"]
    made = build_site(
        Settings.from_mapping(
            {
                "sms": "console://",
                "secret_keys": [KEY],
                "store": "memory:",
                "public_url": "https://shop-a.example",
                "other_public_urls": urls,
            }
        )
    )
    assert set(made.others) == {"shop-b.example", "shop-c.example:8443"}
    assert made.at("shop-a.example") is made.at("evil.example") is made.at("") is made
    other = made.at("SHOP-B.example")
    assert (other.public_url, other.webhook_secrets) == (made.public_url, made.webhook_secrets)
    parts, own = other.verifier.flows._parts, made.verifier.flows._parts
    assert replace(parts, texts=own.texts) == own
    ends = [
        site.verifier.flows._parts.texts(Channel.SMS, "123456", timedelta(minutes=5), None).splitlines()[-1]
        for site in (made, other, made.at("shop-c.example:8443"))
    ]
    assert ends == ["@shop-a.example #123456", "@shop-b.example #123456", "@shop-c.example #123456"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"other_public_urls": "https://shop-b.example"}, "OTHER_PUBLIC_URLS needs PHONE_VERIFY_PUBLIC_URL"),
        (
            {"public_url": "https://a.example", "other_public_urls": "b.example"},
            "PHONE_VERIFY_OTHER_PUBLIC_URLS: use scheme and host",
        ),
    ],
)
def test_other_hosts_are_addresses_of_a_main_one(values: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        build_site(Settings.from_mapping({"secret_keys": [KEY], "store": "memory:", **values}))


def test_option_that_a_channel_needs_is_named() -> None:
    with pytest.raises(ConfigurationError) as raised:
        load_drivers({"inbound_call": ["zvonok://KEY:1@default"]})
    assert raised.value.problem == "PHONE_VERIFY_INBOUND_CALL: zvonok:// carries inbound_call only with the option line"
    assert raised.value.advice.startswith(
        "Example: PHONE_VERIFY_INBOUND_CALL=zvonok://PUBLIC_KEY:CAMPAIGN_ID@default?line="
    )
