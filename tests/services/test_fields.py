"""The fields of a service: the same reader for settings, rows, forms and the command line."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from phone_verify.config.drivers import load_drivers
from phone_verify.config.service_fields import FIELDS, read_service
from phone_verify.config.settings import Settings
from phone_verify.errors import ConfigurationError
from phone_verify.ledger.caps import Window
from phone_verify.model import Channel
from phone_verify.phone import Attestation
from phone_verify.policy import SendQuotas
from phone_verify.routing import Router
from phone_verify.services.service import Combine, InvalidServiceError, Service
from tests.cases import in_one_test

SITE = {
    "sms": ["console://", "sandbox://127.0.0.1:8025"],
    "flash_call": "sandbox://127.0.0.1:8025",
    "inbound_call": "sandbox://127.0.0.1:8025",
    "region": "IR",
    "code_length": 6,
    "ttl": 200,
    "purposes": ["checkout:open", "wire_transfer:require=sms+inbound_call"],
    "texts": {"login": {"*": "{code} of the site"}},
}

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
LEDGER = {"ledger": "sqlite:////none.sqlite3", "prices": {"currency": "EUR", "prices": [{"price": "0.05"}]}}


def read(values: Any, name: str = "shop", **site: Any) -> Service:
    settings = Settings.from_mapping({**SITE, **site})
    router = Router(load_drivers(settings.dsns, settings.drivers), settings.channels, ticks=lambda: 0.0)
    return read_service(name, values, settings, router)


def faults(values: Any, name: str = "shop", **site: Any) -> dict[str, str]:
    with pytest.raises(InvalidServiceError) as caught:
        read(values, name, **site)
    return dict(caught.value.fields)


def test_site_s_settings_hold_where_nothing_is_said() -> None:
    service, settings = read({}), Settings.from_mapping(SITE)
    assert service.policy == settings.policy
    assert service.wording == settings.wording
    assert (service.channels, service.drivers, service.purposes, service.public) == ((), (), (), False)
    assert service.quotas == SendQuotas()
    assert service.given == {}


def test_every_field_is_read() -> None:
    service = read(
        {
            "title": "Example Shop",
            "public": True,
            "channels": ["inbound_call", "sms"],
            "combine": "call_first",
            "code_length": 8,
            "ttl": 90,
            "max_attempts": 3,
            "resend_after": 30,
            "languages": ["fa", "en"],
            "texts": {"*": {"fa": "کد {code}"}},
            "allowed_regions": ["IR", "RU"],
            "purposes": ["login", "checkout"],
            "assurance": ["code", "caller_id"],
            "caller_attestation": "any",
            "sends_per_hour": 3,
            "sends_per_hour_per_address": 4,
            "sends_per_hour_per_prefix": 5,
            "sends_per_hour_total": 6,
            "caps": {"day": {"money": "20.00"}},
            "terms": {"currency": "EUR"},
            "endpoints": [{"url": "https://shop.example/hook", "secrets": [SECRET]}],
        },
        **LEDGER,
    )
    assert (service.title, service.public, service.combine) == ("Example Shop", True, Combine.CALL_FIRST)
    assert service.channels == (Channel.INBOUND_CALL, Channel.SMS)
    policy = service.policy
    assert (policy.code_length, policy.max_attempts) == (8, 3)
    assert (policy.ttl, policy.resend_after) == (timedelta(seconds=90), timedelta(seconds=30))
    assert policy.allowed_regions == {"IR", "RU"}
    assert (list(policy.combined), policy.call_first) == ([Channel.INBOUND_CALL, Channel.SMS], True)
    assert service.languages == ("fa", "en")
    assert service.wording.texts == {"login": {"*": "{code} of the site"}, "*": {"fa": "کد {code}"}}
    assert service.purposes == ("login", "checkout")
    assert service.quotas == SendQuotas(3, 4, 5, 6)
    assert [(cap.window, cap.money) for cap in service.caps] == [(Window.DAY, Decimal("20.00"))]
    assert service.terms is not None
    assert service.terms.currency == "EUR"
    assert [endpoint.url for endpoint in service.endpoints] == ["https://shop.example/hook"]
    assert SECRET not in repr(service)
    assert set(service.given) == set(FIELDS) - {"drivers"}
    assert read(json.loads(json.dumps(service.given)), **LEDGER) == service


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"caps": {"day": {"money": "-1"}}}, "caps", "day.money"),
        ({"caps": {"fortnight": {}}}, "caps", "unknown field"),
        ({"caps": {"record_only": True}}, "caps", "limits nothing"),
        ({"caps": {"regions": {}}}, "caps", "limits nothing"),
        ({"terms": {"currency": "euro"}}, "terms", "three capitals"),
        ({"terms": {"currency": "XTS"}}, "terms", "no rate of XTS"),
        ({"endpoints": [{"url": "http://shop.example/", "secrets": [SECRET]}]}, "endpoints", "0.url"),
        ({"endpoints": [{"url": "https://shop.example/", "secrets": ["short"]}]}, "endpoints", "0.secrets"),
    ],
)
def test_money_and_endpoints_are_refused_at_their_field(values: Any, field: str, said: str) -> None:
    found = faults(values, **LEDGER)
    assert list(found) == [field]
    assert said in found[field]
    assert SECRET not in found[field]


@pytest.mark.parametrize("field", [field for field in FIELDS if field not in ("title", "public")])
def test_empty_list_or_mapping_is_not_taken_for_everything(field: str) -> None:
    for empty in ([], {}, "[]", "{}"):
        assert list(faults({field: empty}, **LEDGER)) == [field]


def test_caps_of_the_site_are_not_read_in_the_currency_of_a_service() -> None:
    rates = [{"currency": "USD", "rate": "0.9"}]
    prices = {"currency": "EUR", "prices": [{"price": "0.05"}], "rates": rates}
    in_euros = {**LEDGER, "prices": prices}
    site = {**in_euros, "caps": {"total": {"money": "120000"}}}
    in_dollars = {"terms": {"currency": "USD"}}
    assert "amounts in EUR" in faults(in_dollars, **site)["caps"]
    assert read({**in_dollars, "caps": {"day": {"money": "5"}}}, **site).terms is not None
    assert read({"terms": {"currency": "EUR"}}, **site).caps
    assert read(in_dollars, **in_euros, caps={"total": {"count": 9}}).caps, "a number of attempts has no currency"


def test_money_needs_a_ledger_and_prices() -> None:
    assert "PHONE_VERIFY_LEDGER" in faults({"caps": {"day": {"count": 1}}})["caps"]
    assert "PHONE_VERIFY_PRICES" in faults({"caps": {"day": {"money": "1"}}}, ledger="sqlite:////none.sqlite3")["caps"]


def test_texts_of_a_form_are_read_like_values() -> None:
    typed = {
        "public": "on",
        "channels": "sms, flash_call",
        "code_length": "7",
        "ttl": " 120 ",
        "texts": '{"*": {"fa": "کد {code}"}}',
        "caps": "",
        "title": "  ",
        "allowed_regions": "IR",
    }
    meant = {
        "public": True,
        "channels": ["sms", "flash_call"],
        "code_length": 7,
        "ttl": 120,
        "texts": {"*": {"fa": "کد {code}"}},
        "allowed_regions": ["IR"],
    }
    assert read(typed) == read(meant)
    assert read(typed).given == meant


def test_drivers_choose_the_channels_that_they_carry() -> None:
    names = [driver.name for driver in load_drivers(Settings.from_mapping(SITE).dsns, ())[Channel.SMS]]
    service = read({"drivers": list(reversed(names))})
    assert service.channels == (Channel.SMS,)
    assert list(service.drivers) == list(reversed(names))


@in_one_test
@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"code_length": 3}, "code_length", "from 4 to 8"),
        ({"code_length": True}, "code_length", "whole number"),
        ({"code_length": "٦"}, "code_length", "whole number"),
        ({"ttl": 601}, "ttl", "from 30 to 600 seconds"),
        ({"ttl": 10**30}, "ttl", "whole number"),
        ({"max_attempts": 11}, "max_attempts", "from 1 to 10"),
        ({"resend_after": -1}, "resend_after", "from 0 to 600"),
        ({"sends_per_hour": -1}, "sends_per_hour", "0 (no limit) or more"),
        ({"channels": ["pigeon"]}, "channels", "unknown channel 'pigeon'"),
        ({"channels": ["voice"]}, "channels", "no driver of the site carries voice"),
        ({"channels": ["sms", "sms"]}, "channels", "twice"),
        ({"channels": 7}, "channels", "list"),
        ({"channels": ["sms"], "drivers": ["nobody"]}, "drivers", "no driver is named 'nobody'"),
        ({"combine": "most"}, "combine", "choice, any, all, call_first"),
        ({"combine": ["all"]}, "combine", "choice, any, all, call_first"),
        ({"channels": ["sms"], "purposes": ["login"], "combine": "all"}, "combine", "two channels or more"),
        (
            {"channels": ["sms", "flash_call"], "purposes": ["login"], "combine": "call_first"},
            "combine",
            "inbound_call",
        ),
        ({"languages": ["tlh"]}, "languages", "unknown language 'tlh'"),
        ({"texts": {"login": "no placeholder"}}, "texts", "has no {code}"),
        ({"texts": "/etc/passwd"}, "texts", "JSON"),
        ({"allowed_regions": ["Iran"]}, "allowed_regions", "ISO 3166"),
        ({"purposes": ["unheard_of"]}, "purposes", "unknown purpose"),
        ({"assurance": ["certain"]}, "assurance", "unknown assurance"),
        ({"assurance": ["code"], "channels": ["sms", "inbound_call"]}, "assurance", "inbound_call"),
        ({"caller_attestation": "C"}, "caller_attestation", "any, B, A"),
        ({"caller_attestation": "A"}, "caller_attestation", "without their attestation"),
        ({"assurance": ["code", "caller_id_attested"]}, "assurance", "without their attestation"),
        ({"channels": ["sms"], "purposes": ["wire_transfer"]}, "purposes", "wire_transfer requires inbound_call"),
        ({"title": "x" * 41}, "title", "40 visible characters"),
        ({"title": "two\nlines"}, "title", "visible"),
        ({"public": "perhaps"}, "public", "true or false"),
        ({"caps": [1]}, "caps", "mapping"),
        ({"caps": '{"day": NaN}'}, "caps", "finite"),
        ({"terms": {"x": float("inf")}}, "terms", "finite"),
        ({"terms": {"x": "y" * 20_000}}, "terms", "longer than"),
        ({"endpoints": {"url": "x"}}, "endpoints", "list"),
        ({"endpoints": "[" * 100_000}, "endpoints", "JSON"),
        ({"chanels": ["sms"]}, "chanels", "did you mean channels?"),
        ({1: 2}, "1", "unknown field"),
    ],
)
def test_mistake_is_reported_at_its_field(values: Any, field: str, says: str) -> None:
    found = faults(values)
    assert list(found) == [field]
    assert says in found[field]


def test_all_mistakes_are_reported_together() -> None:
    found = faults({"code_length": 99, "ttl": 1, "title": 7, "nonsense": 1}, "Wrong Name")
    assert found.keys() == {"name", "code_length", "ttl", "title", "nonsense"}


@pytest.mark.parametrize("document", [None, [], "text", 7])
def test_document_must_be_a_mapping(document: Any) -> None:
    assert "document" in faults(document)


def test_region_that_the_site_does_not_allow_is_refused() -> None:
    assert "does not allow RU" in faults({"allowed_regions": ["RU"]}, allowed_regions=["IR"])["allowed_regions"]


def test_fallbacks_need_a_delay() -> None:
    found = faults({"resend_after": 5}, fallbacks=["flash_call:sms:30"])
    assert "fallbacks" in found["resend_after"]
    assert read({"resend_after": 5, "channels": ["sms"], "purposes": ["login"]}, fallbacks=["flash_call:sms:30"])


def test_purpose_without_its_required_channels_is_left_out() -> None:
    service = read({"channels": ["sms"]})
    assert "checkout" in service.purposes
    assert "wire_transfer" not in service.purposes


def test_call_comes_first_whatever_the_order() -> None:
    combined = read({"channels": ["sms", "inbound_call"], "combine": "call_first"}).policy.combined
    assert list(combined) == [Channel.INBOUND_CALL, Channel.SMS]


def test_service_without_calls_may_name_any_attestation() -> None:
    service = read({"channels": ["sms"], "purposes": ["login"], "caller_attestation": "B"})
    assert service.policy.caller_attestation is Attestation.B


@pytest.mark.parametrize(
    ("services", "says"),
    [
        (["shop"], "must map names to services"),
        ({"Shop": {}}, "is not a name"),
        ({"shop": []}, "shop must map fields"),
        ("/nonexistent/services.yaml", "cannot be read"),
    ],
)
def test_setting_with_a_mistake_is_refused(services: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_SERVICES") as caught:
        Settings.from_mapping({**SITE, "services": services})
    assert says in str(caught.value)


def test_setting_may_name_a_file(tmp_path: Any) -> None:
    path = tmp_path / "services.yaml"
    path.write_text("shop:\n  title: Example Shop\n  channels: [sms]\n")
    settings = Settings.from_mapping(SITE, {"PHONE_VERIFY_SERVICES": str(path)})
    assert settings.services == {"shop": {"title": "Example Shop", "channels": ["sms"]}}


def test_name_that_is_the_address_of_a_page_is_refused() -> None:
    assert faults({}, "add") == {"name": "is the address of a page of staff; use another name"}
    assert read({}, "added").name == "added"


@pytest.mark.parametrize("name", ["Shop", "a b", "1shop", 7, "x" * 33])
def test_name_of_the_site_s_own_service_is_checked(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_SERVICE "):
        Settings.from_mapping({**SITE, "service": name})
