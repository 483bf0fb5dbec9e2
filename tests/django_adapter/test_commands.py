"""The management commands."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from phone_verify import PhoneNumber, Reason, Started
from phone_verify.exchange import HttpResponse
from phone_verify_django.management.commands import phone_verify_test
from phone_verify_django.models import PhoneRow, VerificationRow, VerifiedPhone
from phone_verify_django.otp.models import PhoneDevice
from phone_verify_django.site import current_site

from .conftest import PHONE, Network
from .settings import SECRET_KEY
from .test_checks import manage

OTHER = "+989120000001"
Configure = Callable[..., None]

pytestmark = pytest.mark.django_db


def said(*words: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out, stderr=out, no_color=True, **options)
    return out.getvalue()


def started(phone: str = PHONE) -> None:
    assert current_site().verifier.start(PhoneNumber(phone)).ok


# config


def test_config_lists_settings_with_masked_keys(configure: Configure) -> None:
    configure(sms="amoot://hunter2@default", region="IR", secret_keys=["hunter2-hunter2-hunter2-hunter2-hunter2"])
    shown = said("phone_verify_config")
    assert re.search(r"^REGION +IR  \(Django\)$", shown, re.MULTILINE)
    assert re.search(r"^SMS +amoot://\*\*\*@default  \(Django\)$", shown, re.MULTILINE)
    assert shown.index("REGION") < shown.index("TTL"), "those that are set come first"
    assert "hunter2" not in shown + said("phone_verify_config", "--json")
    [found] = [each for each in json.loads(said("phone_verify_config", "--json")) if each["value"] == "IR"]
    assert (found["setting"], found["origin"]) == ("PHONE_VERIFY_REGION", "Django")


# routes


def test_routes_explains_the_drivers_of_a_number(configure: Configure) -> None:
    rule = {"regions": ["IR"], "by_outcome": True, "prices": {"one": "0.02", "two": "0.01"}, "currency": "EUR"}
    configure(sms=["console://?name=one", "console://?name=two"], routes=[rule])
    lines = said("phone_verify_routes", OTHER).splitlines()
    assert lines[0] == "+98 ••••••••01 (IR)"
    assert lines[2] == "sms: rule 1 (regions IR; by outcome)"
    assert lines[3].split() == ["DRIVER", "FIRST", "PRICE", "SENT", "VERIFIED", "RATE", "COST", "PER", "USER"]
    assert [line.split()[0] for line in lines[4:]] == ["one", "two"]
    assert json.loads(said("phone_verify_routes", OTHER, "--json"))["channels"][0]["rule"]["number"] == 1
    with pytest.raises(CommandError, match="valid"):
        said("phone_verify_routes", "09")


def test_fraud_explains_the_score_of_a_number(configure: Configure) -> None:
    configure(sms="console://", fraud={"deny": {"prefixes": [OTHER[:8]]}})
    lines = said("phone_verify_fraud", OTHER).splitlines()
    assert lines[0] == "+98 ••••••••01 (IR)"
    assert lines[1].startswith("score 100 ")
    assert "your list denies numbers that begin like this" in lines[2]
    assert json.loads(said("phone_verify_fraud", OTHER, "--json"))["score"] == 100
    with pytest.raises(CommandError, match="--region IR"):
        said("phone_verify_fraud", "09120000000")
    configure(sms="console://")
    with pytest.raises(CommandError, match="no fraud guard"):
        said("phone_verify_fraud", OTHER)


# purge


def test_purge_drops_ended_verifications(network: Network) -> None:
    for n in range(5):
        started(f"+98912000000{n}")
    assert "0 verifications" in said("phone_verify_purge")
    network.clock.move(2 * 24 * 3600)
    assert "were deleted" in said("phone_verify_purge")
    assert (VerificationRow.objects.count(), PhoneRow.objects.count()) == (0, 0)
    assert said("phone_verify_purge", verbosity=0) == ""


def test_purge_continues_until_nothing_is_left(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    from phone_verify_django.management.commands import phone_verify_purge

    for n in range(5):
        started(f"+98912000000{n}")
    network.clock.move(2 * 24 * 3600)
    monkeypatch.setattr(phone_verify_purge, "_BATCH", 2)
    said("phone_verify_purge")
    assert VerificationRow.objects.count() == 0


def down(configure: Configure) -> None:
    configure(sms="console://", store="memory:")
    current_site().warn_multiprocess()


def test_purge_reports_a_store_outage(configure: Configure) -> None:
    down(configure)
    with pytest.raises(CommandError, match="became unavailable"):
        said("phone_verify_purge")


# doctor


def test_doctor_of_a_sound_site_exits_0(configure: Configure) -> None:
    configure(sms="amoot://FAKE-CREDENTIAL@default", public_url="https://site.example", allowed_regions="IR")
    told = said("phone_verify_doctor", offline=True)
    assert "no errors, no warnings" in told
    assert "SMS by amoot" in told
    assert "FAKE-CREDENTIAL" not in told


@pytest.mark.parametrize(("header", "noted"), [(None, True), (("HTTP_X_FORWARDED_PROTO", "https"), False)])
def test_doctor_reads_the_header_of_https(configure: Configure, settings: Any, header: Any, noted: bool) -> None:
    configure(sms="console://", public_url="https://shop.example", trusted_proxies=1)
    settings.SECURE_PROXY_SSL_HEADER = header
    assert ("SECURE_PROXY_SSL_HEADER" in said("phone_verify_doctor", offline=True)) is noted


def test_doctor_queries_the_store(configure: Configure) -> None:
    configure(sms="console://")
    assert "The store answers." in said("phone_verify_doctor")


def test_doctor_exits_with_an_error(configure: Configure, settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    settings.ROOT_URLCONF = "tests.django_adapter.bare_urls"
    configure(sms="amoot://FAKE@default", public_url="https://site.example")
    out = io.StringIO()
    with pytest.raises(CommandError, match="configuration has errors"):
        call_command("phone_verify_doctor", offline=True, stdout=out)
    assert "Sign-in by phone is impossible" in out.getvalue()
    assert "2 errors" in out.getvalue()
    settings.MIDDLEWARE = []
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("phone_verify_doctor", offline=True, stdout=out)
    assert "PhoneFactorMiddleware" in out.getvalue()
    settings.PHONE_VERIFY = "console://"
    with pytest.raises(CommandError):
        said("phone_verify_doctor", offline=True)


def test_doctor_has_the_options_of_the_command_line(configure: Configure) -> None:
    configure(sms="amoot://FAKE-CREDENTIAL@default", allowed_regions="IR", code_length=4)
    report = json.loads(said("phone_verify_doctor", offline=True, as_json=True))
    assert {"id": "PV206", "level": "warning", "setting": "PHONE_VERIFY_CODE_LENGTH"}.items() <= {
        name: value for each in report["findings"] if each["id"] == "PV206" for name, value in each.items()
    }.items()
    with pytest.raises(CommandError, match="configuration has warnings"):
        said("phone_verify_doctor", offline=True, strict=True)
    said("phone_verify_doctor", offline=True, strict=True, ignore=["PV206,PV401"])
    with pytest.raises(CommandError, match="unknown id 'PV0'"):
        said("phone_verify_doctor", offline=True, ignore=["PV0"])


def test_doctor_runs_when_startup_fails() -> None:
    done = manage("phone_verify_doctor", "--offline")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for words in ("PHONE_VERIFY['sms']", "PHONE_VERIFY['ttl']", "PHONE_VERIFY['ttll']"):
        assert words in done.stdout
    assert SECRET_KEY not in done.stdout


# test


class Script:
    """A terminal at which these lines are typed, one at each prompt."""

    def __init__(self, *typed: Any) -> None:
        self.typed, self.lines = list(typed), list[str]()

    def say(self, text: str, mark: object = None) -> None:
        self.lines.append(text)

    def busy(self, text: str) -> AbstractContextManager[None]:
        self.lines.append(text)
        return nullcontext()

    def status(self, text: str) -> None:
        self.lines.append(text)

    def ask(self, prompt: str, seconds: float | None = None) -> str | None:
        self.lines.append(prompt)
        next_ = self.typed.pop(0)
        if isinstance(next_, type):
            raise next_
        return str(next_() if callable(next_) else next_)

    def pause(self, seconds: float) -> str | None:
        return self.ask("", seconds)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Script]:
    def sits(*typed: Any) -> Script:
        script = Script(*typed)
        monkeypatch.setattr(phone_verify_test.Command, "terminal", staticmethod(lambda **_: script))
        return script

    return sits


def test_command_verifies_a_number_interactively(network: Network, at: Callable[..., Script]) -> None:
    script = at(lambda: network.wrong, lambda: network.code)
    said("phone_verify_test", PHONE)
    told = "\n".join(script.lines)
    assert "Incorrect code" in told
    assert "Verified +98 ••••••••00 by SMS" in told
    assert PHONE not in told
    assert VerificationRow.objects.get().purpose == "by_hand"


def test_no_color_reaches_the_terminal(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def terminal(*, color: bool) -> Script:
        given.append(color)
        return Script(lambda: network.code)

    monkeypatch.setattr(phone_verify_test.Command, "terminal", staticmethod(terminal))
    said("phone_verify_test", PHONE)
    assert given == [False]


def test_command_confirms_before_it_costs_money(
    network: Network, configure: Configure, at: Callable[..., Script]
) -> None:
    configure(sms="amoot://FAKE@default", region="IR")
    script = at("n")
    with pytest.raises(CommandError, match="nothing was sent"):
        said("phone_verify_test", "09120000000")
    assert "This may cost money" in script.lines[-1]
    assert network.transport.requests == []
    network.transport.answers.append(HttpResponse(500))
    script = at()
    with pytest.raises(CommandError, match="not verified"):
        said("phone_verify_test", "09120000000", yes=True)
    assert any("amoot" in line for line in script.lines)


@pytest.mark.parametrize(
    ("ends", "why", "code"), [(EOFError, "end of input", 1), (KeyboardInterrupt, "cancelled", 130)]
)
def test_interrupt_cancels_the_verification(
    network: Network, at: Callable[..., Script], ends: type, why: str, code: int
) -> None:
    at(ends)
    with pytest.raises(CommandError, match=why) as raised:
        said("phone_verify_test", PHONE, channel="sms", locale="fa")
    assert raised.value.returncode == code
    assert VerificationRow.objects.get().status == "cancelled"
    assert VerificationRow.objects.get().locale == "fa"


def test_impossible_test_is_reported(configure: Configure, at: Callable[..., Script]) -> None:
    at()
    with pytest.raises(CommandError, match="not a valid phone number"):
        said("phone_verify_test", "nonsense")
    with pytest.raises(CommandError, match="like --region IR"):
        said("phone_verify_test", "09120000000")
    down(configure)
    with pytest.raises(CommandError, match="the store is unavailable"):
        said("phone_verify_test", PHONE)


# erase


@pytest.fixture
def known(network: Network) -> User:
    """A user with every kind of stored data."""
    user = User.objects.create_user("somebody")
    VerifiedPhone.objects.create(user=user, phone=PHONE, verified_at=datetime.now(UTC))
    VerifiedPhone.objects.create(user=user, phone=OTHER, verified_at=datetime.now(UTC))
    PhoneDevice.objects.create(user=user, phone=PHONE)
    started()
    started()
    started(OTHER)
    return user


def test_erase_counts_before_confirmation(known: User) -> None:
    told = said("phone_verify_erase", PHONE)
    for line in ("verifications and their counters: 2", "verified numbers: 1", "devices: 1", "Nothing was erased"):
        assert line in told
    assert "--yes" in told
    assert PHONE not in told
    assert VerifiedPhone.objects.count() == 2
    assert VerificationRow.objects.count() == 3


def test_erase_removes_only_that_number(known: User) -> None:
    assert "is erased" in said("phone_verify_erase", "0912 000 0000", region="IR", yes=True)
    tag = current_site().verifier.tag(PhoneNumber(PHONE))
    assert not VerifiedPhone.objects.filter(phone=PHONE).exists()
    assert not PhoneDevice.objects.exists()
    assert not VerificationRow.objects.filter(tag=tag).exists()
    assert not PhoneRow.objects.filter(tag=tag).exists()
    assert VerifiedPhone.objects.get().phone == OTHER
    assert VerificationRow.objects.get().phone == OTHER
    assert PhoneRow.objects.count() == 1
    assert User.objects.get() == known


def test_erase_reports_a_username_that_is_the_number(network: Network) -> None:
    user = User.objects.create_user(PHONE)
    assert f"The username of user {user.pk} is this number" in said("phone_verify_erase", PHONE, yes=True)


def test_erase_works_in_another_store(configure: Configure, tmp_path: Any, network: Network) -> None:
    configure(sms="console://", store="memory:")
    started()
    assert "those in the store" in said("phone_verify_erase", PHONE)
    VerifiedPhone.objects.create(user=User.objects.create_user("x"), phone=PHONE, verified_at=datetime.now(UTC))
    said("phone_verify_erase", PHONE, yes=True)
    assert not VerifiedPhone.objects.exists()


def test_erase_removes_nothing_during_a_store_outage(known: User, configure: Configure) -> None:
    down(configure)
    with pytest.raises(CommandError, match="nothing was erased"):
        said("phone_verify_erase", PHONE, yes=True)
    assert VerifiedPhone.objects.count() == 2
    with pytest.raises(CommandError, match="not a valid phone number"):
        said("phone_verify_erase", "nonsense", yes=True)


# unlock


def lock(configure: Configure, network: Network) -> None:
    configure(sms="console://", max_failures=1, region="IR")
    verifier, phone = current_site().verifier, PhoneNumber(PHONE)
    outcome = verifier.start(phone)
    assert isinstance(outcome, Started)
    assert verifier.check(outcome.verification.id, outcome.secret, network.wrong).reason is Reason.WRONG_CODE
    assert is_locked()


def is_locked() -> bool:
    return current_site().verifier.start(PhoneNumber(PHONE)).reason is Reason.TOO_MANY_REQUESTS


def test_unlock_removes_the_lock_of_one_number(configure: Configure, network: Network) -> None:
    lock(configure, network)
    assert "had no wrong answers" in said("phone_verify_unlock", OTHER)
    assert is_locked()
    told = said("phone_verify_unlock", "0912 000 0000")
    assert "+98 ••••••••00 is unlocked." in told
    assert not is_locked()


def test_unlock_reports_a_bad_number_and_a_store_down(configure: Configure) -> None:
    with pytest.raises(CommandError, match="not a valid phone number"):
        said("phone_verify_unlock", "nonsense")
    down(configure)
    with pytest.raises(CommandError, match="nothing was unlocked"):
        said("phone_verify_unlock", PHONE)
