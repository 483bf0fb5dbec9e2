"""Sites whose users had numbers before: sign-in, the check, and `manage.py phone_verify_adopt`."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.stores import servers

from . import projects
from .test_guide import SECTIONS
from .user_models import run_on_a_site

TOOLS = """
import csv, io, os, stat
from pathlib import Path
from django.core.checks import run_checks
from django.core.management import CommandError
from django.test import override_settings

def stored(*texts):
    Customer.objects.bulk_create(
        Customer(**{FIELD: text, **({} if FIELD == "username" else {"username": f"u{n}"} if HAS_NAME else {})})
        for n, text in enumerate(texts)
    )

HAS_NAME = any(field.name == "username" for field in Customer._meta.fields)

def adopt(*words):
    out = io.StringIO()
    call_command("phone_verify_adopt", *words, stdout=out, stderr=out)
    return out.getvalue()

def held():
    return dict(VerifiedPhone.objects.values_list("user_id", "phone"))
"""
WITH_PHONE = """
class Customer(AbstractUser):
    phone = models.CharField(max_length=20, unique=True, null=True, blank=True)
"""
BY_PHONE = """
class Customer(AbstractBaseUser):
    phone = models.CharField(max_length=20, unique=True)
    USERNAME_FIELD = "phone"
    objects = BaseUserManager()
"""
BY_FIELD = """
from phonenumber_field.modelfields import PhoneNumberField

class Customer(AbstractUser):
    phone = PhoneNumberField(unique=True, null=True, blank=True)
"""
#: Only where django-phonenumber-field is installed.
OTHERS = [
    pytest.param(BY_PHONE, id="username"),
    pytest.param(BY_FIELD, id="PhoneNumberField"),
]
MODELS = [pytest.param(WITH_PHONE, id="text"), *OTHERS]
TRUSTING = """
from phone_verify_django.account_policy import Accounts as Base

class Own(Base):
    def find(self, redeemed):
        return super().find(redeemed) or self.find_by_field(redeemed)

class Ignoring(Base):
    def may_ignore_unverified(self, redeemed):
        return True
"""
SPELLINGS = ("+989120000001", "989120000001", "00989120000001", "09120000001", "9120000001", "+98 912 000 0001")


@pytest.mark.parametrize("model", MODELS)
def test_stored_number_makes_no_second_account(tmp_path: Path, model: str) -> None:
    log = run_on_a_site(
        tmp_path,
        model,
        "phone",
        f"""{TOOLS}
for spelling in {SPELLINGS}:
    Customer.objects.all().delete()
    stored(spelling)
    assert entered(ONE) is None, spelling
    assert Customer.objects.count() == 1, spelling
assert entered(TWO).created
""",
        region="IR",
    )
    assert log.count("no user is created for +98 ••••••••01: it is in shop.Customer.phone of user ") == len(SPELLINGS)
    assert "Accounts.find" in log
    assert "phone_verify_adopt --trust" in log
    assert "9120000001" not in log


@pytest.mark.parametrize("model", MODELS)
def test_policy_that_trusts_the_field_signs_in(tmp_path: Path, model: str) -> None:
    """By any spelling; the number is verified then, and the field in E.164."""
    run_on_a_site(
        tmp_path,
        model + TRUSTING,
        "phone",
        f"""{TOOLS}
for spelling in {SPELLINGS}:
    Customer.objects.all().delete()
    stored(spelling)
    account = entered(ONE)
    assert account is not None and not account.created, spelling
    assert names() == [ONE] and list(held().values()) == [ONE]
Customer.objects.all().delete()
stored("+989120000001", "09120000001")
assert entered(ONE) is None and Customer.objects.count() == 2  # which of the two is unknown
""",
        region="IR",
        accounts="shop.models.Own",
    )


def test_number_of_a_former_plan_is_the_same_number(tmp_path: Path) -> None:
    """Benin's numbers until 2024 have eight digits, today's ten."""
    run_on_a_site(
        tmp_path,
        WITH_PHONE + TRUSTING,
        "phone",
        f"""{TOOLS}
stored("97123456", "+22997123457")
assert entered("+2290197123456") is None and len(names()) == 2
with override_settings(PHONE_VERIFY={{"region": "BJ", "accounts": "shop.models.Own"}}):
    assert not entered("+2290197123456").created
assert "1 numbers counted as verified" in adopt("--trust")
assert names() == ["+2290197123456", "+2290197123457"]
assert not entered("+2290197123457").created
""",
        region="BJ",
    )


def test_policy_may_ignore_the_field(tmp_path: Path) -> None:
    run_on_a_site(
        tmp_path,
        WITH_PHONE + TRUSTING,
        "phone",
        f"{TOOLS}\nstored('09120000001')\nassert entered(ONE).created and len(names()) == 2",
        region="IR",
        accounts="shop.models.Ignoring",
    )


def test_national_form_of_another_region_is_another_number(tmp_path: Path) -> None:
    """The text `0501234567` of a user in Israel is not a Ukrainian number on a site that serves Israel first."""
    run_on_a_site(
        tmp_path,
        WITH_PHONE + TRUSTING,
        "phone",
        f"{TOOLS}\nstored('0501234567')\nassert entered('+380501234567').created and len(names()) == 2",
        region="IL",
        accounts="shop.models.Own",
    )


def test_users_of_another_number_do_not_hide_the_holder(tmp_path: Path) -> None:
    """Twelve users whose text reads as an Israeli number, before the user of the Ukrainian one."""
    run_on_a_site(
        tmp_path,
        WITH_PHONE.replace("unique=True, ", ""),
        "phone",
        f"""{TOOLS}
stored(*["0502345678"] * 12, "+380502345678")
assert entered("+380502345678") is None and len(names()) == 13
""",
        region="IL",
        allowed_regions=["IL", "UA"],
    )


def test_national_form_without_a_region_refuses_and_signs_in_no_one(tmp_path: Path) -> None:
    """It may be another country's number."""
    run_on_a_site(
        tmp_path,
        WITH_PHONE + TRUSTING,
        "phone",
        f"{TOOLS}\nstored('09120000001')\nassert entered(ONE) is None and len(names()) == 1",
        accounts="shop.models.Own",
    )


def test_sign_up_form_is_not_shown_for_a_stored_number(tmp_path: Path) -> None:
    run_on_a_site(
        tmp_path,
        WITH_PHONE,
        "phone",
        f"""{TOOLS}
from phone_verify_django import pending_signup
stored("09120000001")
assert not pending_signup.save(request_of(), proof(ONE))
assert pending_signup.save(request_of(), proof(TWO))
""",
        region="IR",
        signup_form="tests.django_adapter.custom_accounts.NameForm",
    )


ROWS = """
stored("+989120000001", "0912 000 0002", "98912-000-0003", "0912 000 0004", "+989120000004", "=cmd()", "12345", None)
taken = Customer.objects.create(username="other")
from phone_verify_django import phones
phones.assign(taken, proof("+989120000003"))
assert not VerifiedPhone.objects.exclude(user=taken).exists()
"""


@pytest.mark.parametrize("words", [[], ["--dry-run"], ["--trust", "--dry-run"]], ids=" ".join)
def test_adopt_reports_and_changes_nothing(tmp_path: Path, words: list[str]) -> None:
    run_on_a_site(
        tmp_path,
        WITH_PHONE.replace("unique=True, ", ""),
        "phone",
        f"""{TOOLS}{ROWS}
before = names(), held()
said = adopt(*{words})
assert (names(), held()) == before
assert "2 numbers could be trusted" in said and "2 duplicate" in said and "2 unreadable" in said, said
assert "1 taken" in said and "1 were verified already" in said, said
assert "912" not in said and "cmd" not in said and "--report FILE" in said, said
""",
        region="IR",
    )


def test_trusted_numbers_sign_in_and_the_others_are_reported(tmp_path: Path) -> None:
    run_on_a_site(
        tmp_path,
        WITH_PHONE.replace("unique=True, ", ""),
        "phone",
        f"""{TOOLS}{ROWS}
said = adopt("--trust", "--report", "report.csv")
assert "2 numbers counted as verified" in said and "912" not in said, said
ids = list(Customer.objects.order_by("pk").values_list("pk", flat=True))
assert held() == {{ids[0]: ONE, ids[1]: TWO, taken.pk: THREE}}
assert names()[:3] == [ONE, TWO, "98912-000-0003"]
assert VerifiedPhone.objects.filter(is_primary=True, login_phone__isnull=False).count() == 3
assert [entered(phone).created for phone in (ONE, TWO)] == [False, False]
assert stat.S_IMODE(os.stat("report.csv").st_mode) == 0o600
with open("report.csv", newline="") as file:
    rows = sorted(csv.reader(file))
assert rows == [
    ["duplicate", str(ids[3]), "0912 000 0004", "+989120000004"],
    ["duplicate", str(ids[4]), "+989120000004", "+989120000004"],
    ["problem", "user", "number", "reads_as"],
    ["taken", str(ids[2]), "98912-000-0003", THREE],
    ["unreadable", str(ids[5]), "'=cmd()", ""],
    ["unreadable", str(ids[6]), "12345", ""],
], rows
assert [path for path in os.listdir() if path.startswith(".phone_verify")] == []
again = adopt("--trust")
assert "0 numbers counted as verified" in again and "3 were verified already" in again, again
""",
        region="IR",
    )


@pytest.mark.parametrize("model", OTHERS)
def test_other_kinds_of_fields_are_adopted(tmp_path: Path, model: str) -> None:
    run_on_a_site(
        tmp_path,
        model,
        "phone",
        f"""{TOOLS}
stored("+989120000001", "0912 000 0002")
adopt("--trust")
assert sorted(held().values()) == [ONE, TWO] and names() == [ONE, TWO]
assert not entered(TWO).created
""",
        region="IR",
    )


def test_adopt_works_in_pages(tmp_path: Path) -> None:
    """Several pages, and a number that fails alone in its page."""
    run_on_a_site(
        tmp_path,
        WITH_PHONE,
        "phone",
        f"""{TOOLS}
from phone_verify_django import adoption
adoption.PAGE = 3
stored(*[f"0912000{{n:04}}" for n in range(10)])
assert "10 numbers counted" in adopt("--trust")
assert VerifiedPhone.objects.count() == 10
assert all(name.startswith("+98") for name in names())
""",
        region="IR",
    )


def test_concurrent_claim_of_a_number_wins(tmp_path: Path) -> None:
    """Another user verifies one number of a page, and another user changes theirs, after the page was read."""
    run_on_a_site(
        tmp_path,
        WITH_PHONE,
        "phone",
        f"""{TOOLS}
from phone_verify_django import adoption, phones
stored("09120000001", "09120000002", "09120000003")
rival = Customer.objects.create(username="rival")
decide = adoption.decide
def late(page, duplicates):
    result = list(decide(page, duplicates))
    phones.assign(rival, proof(ONE))
    Customer.objects.filter(phone="09120000002").update(phone="09120000009")
    return iter(result)
adoption.decide = late
said = adopt("--trust")
assert "1 numbers counted" in said and "1 taken" in said and "1 changed" in said, said
assert sorted(held().values()) == [ONE, THREE]
assert VerifiedPhone.objects.get(phone=ONE).user == rival
assert names() == ["09120000001", "09120000009", THREE, ONE]
""",
        region="IR",
    )


def test_number_written_during_the_run_is_not_adopted(tmp_path: Path) -> None:
    """A user read before the number's own user writes it in another spelling between the two passes."""
    run_on_a_site(
        tmp_path,
        WITH_PHONE,
        "phone",
        f"""{TOOLS}
from phone_verify_django import adoption
stored("09120000002", "09120000001")
thief, owner = Customer.objects.order_by("pk")
entries, passes = adoption.entries, []
def late(*given):
    passes.append(given)
    if len(passes) == 2:
        Customer.objects.filter(pk=thief.pk).update(phone="+98 912 000 0001")
    return entries(*given)
adoption.entries = late
said = adopt("--trust")
assert "1 numbers counted" in said and "1 changed" in said, said
assert held() == {{owner.pk: ONE}}
""",
        region="IR",
    )


BY_KEY = """
class Customer(AbstractBaseUser):
    phone = models.CharField(max_length=20, primary_key=True)
    USERNAME_FIELD = "phone"
    objects = BaseUserManager()
"""


def test_key_that_is_the_number_is_not_shown(tmp_path: Path) -> None:
    log = run_on_a_site(
        tmp_path,
        BY_KEY,
        "phone",
        f"""{TOOLS}
stored("09120000001", "0912 000 0002", "+98912000000", "+22997123456", "+2290197123456")
assert entered(ONE) is None
said = adopt()
assert "1 unreadable" in said and "2 duplicate" in said, said
assert "9120" not in said and "9712" not in said, said
try:
    call_command("phone_verify_renumber", stdout=(out := io.StringIO()), stderr=out)
except CommandError:
    pass
assert "and its new form exist" in out.getvalue() and "9712" not in out.getvalue(), out.getvalue()
""",
        region="IR",
    )
    assert "of user +98 ••••••••01" in log
    assert "9120000001" not in log


def test_field_and_region_may_be_named(tmp_path: Path) -> None:
    run_on_a_site(
        tmp_path,
        "class Customer(AbstractUser):\n    contact = models.CharField(max_length=20, blank=True)\n",
        "contact",
        f"""{TOOLS}
stored("0912 000 0001")
for words, error in ((["--trust"], "name it with --field"), (["--field", "groups"], "no text field 'groups'"),
                     (["--field", "contact", "--region", "iran"], "'iran' is not a region"),
                     (["--field", "contact", "--report", "nowhere/report.csv"], "No such file")):
    try:
        adopt(*words)
    except CommandError as raised:
        assert error in str(raised), raised
    else:
        raise AssertionError(words)
assert "1 unreadable" in adopt("--field", "contact", "--trust")
assert "1 numbers counted" in adopt("--field", "contact", "--trust", "--region", "IR")
assert list(held().values()) == [ONE] and names() == ["0912 000 0001"]  # the site names no field to write
""",
    )


def test_check_warns_of_unverified_rows_with_database_only(tmp_path: Path) -> None:
    run_on_a_site(
        tmp_path,
        WITH_PHONE + TRUSTING,
        "phone",
        f"""{TOOLS}
def found(**given):
    return [message.msg for message in run_checks(**given) if message.id == "phone_verify.W044"]
every = {{"databases": ["default"]}}
assert found(**every) == []
stored("+989120000001", None, "")
assert found() == []
(message,) = found(**every)
assert "shop.Customer.phone" in message
for own in ("Own", "Ignoring"):
    with override_settings(PHONE_VERIFY={{"accounts": f"shop.models.{{own}}"}}):
        assert found(**every) == []
with override_settings(PHONE_VERIFY={{"phone_field": ""}}):
    assert found(**every) == []
def doctor(*words):
    out = io.StringIO()
    try:
        call_command("phone_verify_doctor", *words, stdout=out, stderr=out)
    except CommandError:
        pass
    return out.getvalue()
assert "phone_verify.W044" in doctor() and "phone_verify.W044" not in doctor("--offline")
import django
from phone_verify_django.cli import load
django.setup = lambda: None  # done
assert "phone_verify.W044" in [finding.id for finding in load("shop.settings").users()]
adopt("--trust")
assert found(**every) == [] and "phone_verify.W044" not in doctor()
for text in ("boss", "12"):  # no numbers: adoption leaves them
    Customer.objects.create(username=text, phone=text)
assert found(**every) == []
from django.db import connection
with connection.schema_editor() as editor:
    editor.delete_model(VerifiedPhone)
assert found(**every) == []  # before the first migrate
""",
        region="IR",
    )


def test_number_refused_by_another_users_field_is_logged(tmp_path: Path) -> None:
    log = run_on_a_site(
        tmp_path,
        WITH_PHONE,
        "phone",
        f"""{TOOLS}
stored(ONE)
entered(TWO)
user = Customer.objects.get(phone=TWO)
assert set_phone(request_of(user), proof(ONE, "change_phone")) is None
""",
    )
    assert "a number was refused for +98 ••••••••01: it is in shop.Customer.phone of user 1" in log


GUIDE = next(section for section in SECTIONS if section.startswith("You already have users with numbers"))


def test_guide_for_sites_with_users_works(tmp_path: Path) -> None:
    """Its class and its commands, on a site with numbers in three spellings."""
    files = dict(projects.files(GUIDE))
    commands = [shlex.split(block.text)[2:] for block in projects.blocks(GUIDE) if block.language == "sh"]
    assert list(files) == ["shop/accounts.py", "shop/settings.py"]
    assert "phone_verify_adopt --trust" in GUIDE
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "accounts.py").write_text(files["shop/accounts.py"])
    run_on_a_site(
        tmp_path,
        WITH_PHONE,
        "phone",
        f"""{TOOLS}
assert entered(TWO).created
stored("09120000001", "+989120000003")
PHONE_VERIFY = {{"region": "IR"}}
assert entered(ONE) is None
{files["shop/settings.py"]}
with override_settings(PHONE_VERIFY=PHONE_VERIFY):
    assert not entered(ONE).created
for words in {commands}:
    call_command(*words, stdout=io.StringIO())
assert os.path.exists("numbers.csv")
assert [entered(phone).created for phone in (ONE, TWO, THREE)] == [False] * 3
""",
        region="IR",
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", servers.PARAMETERS)
def test_adopt_works_on_servers(tmp_path: Path, kind: str) -> None:
    with servers.database(kind) as url:
        run_on_a_site(
            tmp_path,
            WITH_PHONE,
            "phone",
            f"""{TOOLS}
from phone_verify_django import adoption
adoption.PAGE = 4
stored(*[f"0912000{{n:04}}" for n in range(10)], "0912 000 0003")
said = adopt("--trust")
assert "9 numbers counted" in said and "2 duplicate" in said, said
assert not entered("+989120000007").created
assert entered("+989120000003") is None
""",
            url=url,
            region="IR",
        )


@pytest.mark.race
@pytest.mark.parametrize("kind", servers.PARAMETERS)
def test_adopt_runs_while_users_verify_numbers(tmp_path: Path, kind: str) -> None:
    """Each number has one owner in the end, and the report counts what was adopted."""
    with servers.database(kind) as url:
        run_on_a_site(
            tmp_path,
            WITH_PHONE,
            "phone",
            f"""{TOOLS}
import re, threading
from django.db import connection
from phone_verify_django import adoption, phones
adoption.PAGE = 20
stored(*[f"0912000{{n:04}}" for n in range(200)])
mine = dict(Customer.objects.values_list("phone", "pk"))
rival = Customer.objects.create(username="rival")

def verify(step):
    for n in range(step, 200, 4):
        owner = rival if n % 8 else Customer.objects.get(pk=mine[f"0912000{{n:04}}"])
        phones.assign(owner, proof(f"+98912000{{n:04}}"))
    connection.close()

threads = [threading.Thread(target=verify, args=[step]) for step in range(2)]
for thread in threads:
    thread.start()
said = adopt("--trust")
for thread in threads:
    thread.join()
results = ("numbers counted", "were verified already", "duplicate", "taken", "changed")
total = sum(int(re.search(f"([0-9]+) {{result}}", said)[1]) for result in results)
assert total in (200, 201), said[:200]  # with the rival, or read before the rival had a number
held_now = list(VerifiedPhone.objects.values_list("phone", flat=True))
assert len(held_now) == len(set(held_now)), "two owners"
assert len(held_now) == 200, (len(held_now), said[:200])
""",
            url=url,
            region="IR",
        )
