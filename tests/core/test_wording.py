"""Names of settings in messages, as the site's owner writes them."""

from __future__ import annotations

import pytest

from phone_verify.config.site import SiteConfig
from phone_verify.errors import ConfigurationError


def spell(name: str, value: object) -> str:
    return f"<{name}>" if value is None else f"<{name}> := {value!r}"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("PHONE_VERIFY_SMS: write it", "<sms>: write it"),
        ("Set PHONE_VERIFY_SMS=console:// for development, or", "Set <sms> := 'console://' for development, or"),
        ("Set PHONE_VERIFY_CODE_LENGTH=6, or", "Set <code_length> := 6, or"),
        ("Set PHONE_VERIFY_ALLOWED_REGIONS=IR,RU, or", "Set <allowed_regions> := 'IR,RU', or"),
        ("Set PHONE_VERIFY_STORE=orm:.", "Set <store> := 'orm:'."),
        ("not 'PHONE_VERIFY_SMS'", "not 'PHONE_VERIFY_SMS'"),
        ('app.config["PHONE_VERIFY_SMS"]', 'app.config["PHONE_VERIFY_SMS"]'),
        ("MY_PHONE_VERIFY_SMS and PHONE_VERIFY_SMS2", "MY_PHONE_VERIFY_SMS and <sms2>"),
        ("PHONE_VERIFY_…", "PHONE_VERIFY_…"),
    ],
)
def test_settings_are_spelled_as_the_framework_does(text: str, written: str) -> None:
    assert SiteConfig(spell=spell).in_words(text) == written
    assert SiteConfig().in_words(text) == text


def test_message_about_a_variable_names_variables() -> None:
    given = SiteConfig(environ={"PHONE_VERIFY_SMS": "x", "PHONE_VERIFY_TTL": "5"}, values={"ttl": 60}, spell=spell)
    assert given.in_words("PHONE_VERIFY_SMS: see PHONE_VERIFY_VOICE") == "PHONE_VERIFY_SMS: see PHONE_VERIFY_VOICE"
    assert given.in_words("PHONE_VERIFY_TTL: see PHONE_VERIFY_SMS") == "<ttl>: see PHONE_VERIFY_SMS"
    assert given.in_words("Set PHONE_VERIFY_VOICE=x", about="PHONE_VERIFY_SMS") == "Set PHONE_VERIFY_VOICE=x"


def test_error_joins_problem_and_advice() -> None:
    error = ConfigurationError("it is wrong", "Write it.")
    assert (str(error), error.problem, error.advice) == ("it is wrong. Write it.", "it is wrong", "Write it.")
    assert str(ConfigurationError("it is wrong")) == "it is wrong"


@pytest.mark.parametrize("value", ["", " ", [], (), None, set()])
def test_empty_value_leaves_the_setting_to_the_environment(value: object) -> None:
    given = SiteConfig(values={"region": value}, environ={"PHONE_VERIFY_REGION": "RU"})
    assert given.settings().policy.region == "RU"
    assert SiteConfig(values={"region": value}).settings().policy.region is None


def test_empty_staff_roles_mean_none() -> None:
    assert SiteConfig(values={"staff_roles": []}).settings().staff_roles == []
    assert "admin" in SiteConfig(values={"staff_roles": ""}).settings().staff_roles
