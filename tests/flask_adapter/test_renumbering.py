"""Stored numbers of former numbering plans on a Flask site: nothing is refused, and one phone stays one user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask, render_template_string
from flask_login import LoginManager, UserMixin, current_user, login_user
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from phone_verify.model import Redeemed
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.transport import FakeTransport
from phone_verify_flask import PhoneVerify
from phone_verify_flask.forms import PhoneForm
from phone_verify_flask.signals import phone_changed
from tests.core.test_renumbered import RENUMBERED

from .sites import KEY, Made, submit, with_database

OLD, NEW = "+22997000000", "+2290197000000"
#: Of no numbering plan today, and with no known successor.
GONE = "+22510000000"
ELSE = "+989120000009"


class Shop:
    """A site with its users in Flask-SQLAlchemy, written as the guide says."""

    def __init__(self, folder: Path, **config: Any) -> None:
        class Base(DeclarativeBase):
            pass

        db = SQLAlchemy(model_class=Base)

        class User(UserMixin, db.Model):  # type: ignore[name-defined, misc]
            id: Mapped[int] = mapped_column(primary_key=True)
            phone: Mapped[str | None] = mapped_column(String(16), unique=True)

        self.app, self.db, self.User = Flask("shop"), db, User
        self.app.config.update(
            SECRET_KEY=KEY,
            TESTING=True,
            SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder / 'shop.sqlite3'}",
            PHONE_VERIFY_SMS="console://",
            PHONE_VERIFY_STORE="memory:",
            **config,
        )
        db.init_app(self.app)
        LoginManager(self.app).user_loader(lambda key: db.session.get(User, int(key)))
        self.made = Made(self.app, FakeTransport(), ManualClock())
        self.extension = extension = PhoneVerify()
        extension.init_app(self.app, transport=self.made.transport, clock=self.made.clock)

        @extension.user_for_phone
        def user_for_phone(redeemed: Redeemed) -> tuple[Any, bool]:
            found = (db.session.scalar(db.select(User).filter_by(phone=form)) for form in redeemed.phone.forms)
            user = next(filter(None, found), None)
            created = user is None
            user = user or User()
            user.phone = redeemed.phone.e164
            db.session.add(user)
            db.session.commit()
            return user, created

        @extension.set_phone_for_user
        def set_phone_for_user(user: Any, redeemed: Redeemed) -> bool:
            user.phone = redeemed.phone.e164
            db.session.commit()
            return True

        @self.app.get("/in/<int:id>")
        def sign_in(id: int) -> str:
            login_user(db.session.get(User, id))
            return ""

        @self.app.get("/shown")
        def shown() -> str:
            return render_template_string(
                "{{ phone_verify.number(user) }} {{ phone_verify.hint(user) }}", user=current_user
            )

        with_database.append((self.app, db))
        with self.app.app_context():
            db.create_all()

    def add(self, *numbers: str) -> list[int]:
        with self.app.app_context():
            users = [self.User(phone=number) for number in numbers]
            self.db.session.add_all(users)
            self.db.session.commit()
            return [user.id for user in users]

    @property
    def numbers(self) -> list[str | None]:
        with self.app.app_context():
            return list(self.db.session.scalars(self.db.select(self.User.phone).order_by(self.User.id)))

    def client(self, id: int) -> Any:
        client = self.app.test_client()
        client.get(f"/in/{id}")
        return client

    def run(self, *words: str) -> Result:
        return self.app.test_cli_runner().invoke(args=["phone-verify", *words])


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize(("old", "new"), [pair for pair in RENUMBERED if not pair[0].startswith("+2252")])
def test_user_of_the_old_number_signs_in_with_the_new_one(shop: Shop, old: str, new: str) -> None:
    [id] = shop.add(old)
    client = shop.app.test_client()
    submit(client, "/phone/login/", phone=new)
    submit(client, "/phone/code/", code=shop.made.code)
    assert client.get("/phone/v1/session").json["user"] == {"id": str(id), "phone": new}
    assert shop.numbers == [new]


def test_users_by_number_does_not_refuse_the_old_number(shop: Shop) -> None:
    """The callback of the guide finds it; only other spellings would make a second account."""

    @shop.extension.users_by_number
    def users_by_number(texts: Any) -> Any:
        return shop.db.session.scalars(shop.db.select(shop.User).where(shop.User.phone.in_(texts)))

    [id] = shop.add(OLD)
    client = shop.app.test_client()
    submit(client, "/phone/login/", phone=NEW)
    submit(client, "/phone/code/", code=shop.made.code)
    assert client.get("/phone/v1/session").json["user"]["id"] == str(id)


def test_holder_of_the_new_number_is_not_disturbed(shop: Shop) -> None:
    _, id = shop.add(OLD, NEW)
    client = shop.app.test_client()
    submit(client, "/phone/login/", phone=NEW)
    submit(client, "/phone/code/", code=shop.made.code)
    assert client.get("/phone/v1/session").json["user"]["id"] == str(id)
    assert shop.numbers == [OLD, NEW]


@pytest.mark.parametrize(("stored", "shown"), [(OLD, "+22997000000"), (GONE, "+22510000000")])
def test_templates_show_the_stored_number(shop: Shop, stored: str, shown: str) -> None:
    [id] = shop.add(stored)
    page = shop.client(id).get("/shown").text
    assert shown in page.replace(" ", "")
    assert "••00" in page


@pytest.mark.parametrize(("stored", "sent_to"), [(OLD, NEW), (GONE, GONE)])
def test_stored_number_is_verified_again(shop: Shop, stored: str, sent_to: str) -> None:
    [id] = shop.add(stored)
    client, changes = shop.client(id), []
    with phone_changed.connected_to(lambda app, **values: changes.append(values)):
        assert submit(client, "/phone/verify/", confirm="1").status_code == 303
        assert [notice.phone for notice in shop.made.transport.notices] == [sent_to]
        submit(client, "/phone/code/", code=shop.made.code)
    assert shop.numbers == [sent_to]
    assert changes == [], "it is the same number"
    assert client.get("/phone/v1/session").status_code == 200


@pytest.mark.parametrize("stored", [OLD, GONE])
def test_stored_number_is_changed_and_signed_out_of(shop: Shop, stored: str) -> None:
    [id] = shop.add(stored)
    client = shop.client(id)
    submit(client, "/phone/verify/", confirm="1")
    submit(client, "/phone/code/", code=shop.made.code)
    shop.made.clock.move(120)
    client.get("/phone/verify/")  # "Your number is verified."
    submit(client, "/phone/verify/", phone=ELSE)
    submit(client, "/phone/code/", code=shop.made.code)
    assert shop.numbers == [ELSE]
    assert submit(client, "/phone/logout/").status_code == 303
    assert client.get("/phone/v1/session").status_code == 401


@pytest.mark.parametrize("stored", [OLD, GONE])
def test_old_number_is_erased_and_unlocked(shop: Shop, stored: str) -> None:
    for command in (["erase", stored, "--yes"], ["unlock", stored]):
        result = shop.run(*command)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("column", [[], ["tests.flask_adapter.test_renumbering:HERE.phone"]])
def test_command_moves_every_stored_number_once(shop: Shop, column: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.flask_adapter.test_renumbering.HERE", shop.User, raising=False)
    monkeypatch.setattr("phone_verify_flask.renumbering._BATCH", 3)
    shop.add(*(old for old, _ in RENUMBERED), ELSE)
    result = shop.run("renumber", "--dry-run", *column)
    assert (result.exit_code, f"{len(RENUMBERED)} would move" in result.output) == (0, True), result.output
    assert shop.numbers[0] == RENUMBERED[0][0]
    result = shop.run("renumber", *column)
    assert (result.exit_code, f"{len(RENUMBERED)} moved" in result.output) == (0, True), result.output
    assert shop.numbers == [*(new for _, new in RENUMBERED), ELSE]
    assert " 0 moved" in shop.run("renumber", *column).output


def test_command_reports_numbers_that_exist_in_both_forms(shop: Shop) -> None:
    shop.add(OLD, NEW)
    for words in (["--dry-run"], []):
        result = shop.run("renumber", *words)
        assert result.exit_code == 1
        assert "+229 ••••••00 and its new form exist" in result.output
        assert OLD not in result.output
    assert shop.numbers == [OLD, NEW]


@pytest.mark.parametrize("column", ["no", "no.module:User.phone", "flask:Flask.name", "flask:Flask.no"])
def test_command_names_the_form_of_a_column(shop: Shop, column: str) -> None:
    result = shop.run("renumber", column)
    assert result.exit_code == 2
    assert "shop.models:User.phone" in result.output


def test_command_without_flask_sqlalchemy_says_what_to_do() -> None:
    from .sites import make

    result = make().app.test_cli_runner().invoke(args=["phone-verify", "renumber"])
    assert result.exit_code == 1
    assert "PhoneNumber.stored(text).current.e164" in result.output


def test_national_form_of_every_allowed_region_is_read(tmp_path: Path) -> None:
    shop = Shop(tmp_path, PHONE_VERIFY_REGION="FR", PHONE_VERIFY_ALLOWED_REGIONS=["FR", "RE"])
    client = shop.app.test_client()
    assert submit(client, "/phone/login/", phone="0692 00 00 00").status_code == 303
    assert client.post("/phone/v1/verifications", json={"phone": "0692 00 00 01"}).status_code == 201
    assert [notice.phone for notice in shop.made.transport.notices] == ["+262692000000", "+262692000001"]
    with shop.app.test_request_context(method="POST", data={"phone": "0692 00 00 00"}):
        form = PhoneForm(meta={"csrf": False})
        assert form.validate()
        assert form.number is not None
        assert form.number.e164 == "+262692000000"


def test_regions_of_a_plan_are_not_allowed_by_themselves(tmp_path: Path) -> None:
    shop = Shop(tmp_path, PHONE_VERIFY_REGION="GB", PHONE_VERIFY_ALLOWED_REGIONS=["GB"])
    answer = shop.app.test_client().post("/phone/v1/verifications", json={"phone": "07911 100000"})
    assert (answer.status_code, answer.json["code"]) == (403, "destination_not_allowed")  # type: ignore[index]


@pytest.mark.parametrize("spelling", ["+54 11 2000 0000", "+54 11 15 2000 0000", "+54 9 11 2000 0000"])
@pytest.mark.parametrize("stored", ["+5491120000000", "+541120000000"])
def test_spellings_of_a_phone_sign_in_one_user(shop: Shop, stored: str, spelling: str) -> None:
    shop.add(stored)
    client = shop.app.test_client()
    submit(client, "/phone/login/", phone=spelling)
    submit(client, "/phone/code/", code=shop.made.code)
    assert shop.numbers == ["+5491120000000"]
