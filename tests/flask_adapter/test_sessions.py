"""Other sessions end with the number, and a sign-in that races a change is refused."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from flask import Flask, render_template_string
from flask_login import current_user

from phone_verify.errors import StoreError
from phone_verify.stores.memory import MemoryStore
from phone_verify_flask import PhoneVerify, blueprint

from .sites import PHONE, Made, follow, is_problem, make, proof, submit
from .sites import token as token_of

SESSION = "/phone/v1/session"
NEW = "+989120000007"


def by_api(made: Made, phone: str = PHONE) -> Any:
    client = made.app.test_client()
    assert client.post(SESSION, json={"proof": proof(client, made, phone)}).status_code == 200
    return client


def by_remember_cookie(made: Made) -> Any:
    """A client that has only Flask-Login's remember cookie and ours."""
    client = made.app.test_client()
    submit(client, "/phone/login/", phone=PHONE)
    submit(client, "/phone/code/", code=made.code, asks_remember="1", remember="1")
    assert client.get_cookie("remember_token") is not None
    client.delete_cookie("session")
    return client


def change(made: Made, client: Any, phone: str = NEW) -> None:
    made.clock.move(120)
    answer = client.put(f"{SESSION}/phone", json={"proof": proof(client, made, phone, "change_phone")})
    assert answer.status_code == 200, answer.text


def test_change_of_number_ends_other_sessions() -> None:
    made = make()
    owner, other = by_api(made), by_api(made)
    change(made, owner)
    assert other.get("/").text == "nobody"
    assert is_problem(other.get(SESSION), 401, "not_signed_in")
    assert owner.get("/").text == NEW
    assert owner.get(SESSION).status_code == 200


def test_change_of_number_ends_remember_cookies() -> None:
    made = make()
    other, owner = by_remember_cookie(made), by_api(made)
    change(made, owner)
    assert other.get("/").text == "nobody"
    assert other.get_cookie("remember_token") is None


def test_remember_cookie_of_a_later_login_is_valid() -> None:
    made = make()
    change(made, by_api(made))
    change(made, by_api(made, NEW), PHONE)
    client = by_remember_cookie(made)
    assert client.get("/").text == PHONE
    assert client.get("/").text == PHONE


def test_remembered_session_that_changes_the_number_stays() -> None:
    made = make()
    client = made.app.test_client()
    submit(client, "/phone/login/", phone=PHONE)
    submit(client, "/phone/code/", code=made.code, asks_remember="1", remember="1")
    change(made, client)
    client.delete_cookie("session")
    assert client.get("/").text == NEW


@pytest.mark.parametrize("forged", ["", "x", "phone_verify_sessions|9|u0|x", "9|u0", "\u00e9|1|u0|x"])
def test_forged_count_revives_no_remember_cookie(forged: str) -> None:
    made = make()
    other, owner = by_remember_cookie(made), by_api(made)
    change(made, owner)
    other.set_cookie("phone_verify_sessions", forged)
    assert other.get("/").text == "nobody"


def test_count_of_another_user_revives_no_remember_cookie() -> None:
    made = make()
    thief, owner = by_remember_cookie(made), by_api(made)
    change(made, owner)
    mine = made.app.test_client()
    submit(mine, "/phone/login/", phone=PHONE)  # free again: another user's
    submit(mine, "/phone/code/", code=made.code, asks_remember="1", remember="1")
    change(made, mine, "+989120000008")
    thief.set_cookie("phone_verify_sessions", mine.get_cookie("phone_verify_sessions").value)
    assert thief.get("/").text == "nobody"


def test_copy_of_an_ended_session_stays_ended() -> None:
    made = make()
    owner, other = by_api(made), by_api(made)
    copy = other.get_cookie("session").value
    change(made, owner)
    assert other.get("/").text == "nobody"
    other.set_cookie("session", copy)
    assert other.get("/").text == "nobody"


def test_change_of_an_invalid_number_ends_other_sessions() -> None:
    """Numbering plans change: the user's number may have become invalid, and the site's rule decides."""
    extension = PhoneVerify()
    extension.may_change_without_old(lambda user, redeemed: True)
    made = make(extension=extension)
    owner, other = by_api(made), by_api(made)
    made.users["u0"].phone = "+10000000000"
    change(made, owner)
    assert (owner.get("/").text, other.get("/").text) == (NEW, "nobody")


@pytest.mark.parametrize(("allowed", "phone"), [(True, NEW), (False, "+10000000000")])
def test_site_decides_on_the_pages_about_an_invalid_number(allowed: bool, phone: str) -> None:
    extension = PhoneVerify()
    extension.may_change_without_old(lambda user, redeemed: allowed)
    made = make(extension=extension)
    owner = by_api(made)
    made.users["u0"].phone = "+10000000000"
    made.clock.move(120)
    submit(owner, "/phone/verify/", phone=NEW)
    assert submit(owner, "/phone/code/", code=made.code).status_code == 303
    assert made.users["u0"].phone == phone


def test_confirmed_number_ends_no_session() -> None:
    made = make()
    owner, other = by_api(made), by_api(made)
    made.clock.move(120)
    assert owner.put(f"{SESSION}/phone", json={"proof": proof(owner, made, PHONE, "confirm")}).status_code == 200
    assert other.get("/").text == PHONE


def test_sign_out_others_button_ends_other_sessions() -> None:
    made = make()
    owner, other, remembered = by_api(made), by_api(made), by_remember_cookie(made)
    page = follow(owner, submit(owner, "/phone/verify/", sign_out_others="1"))
    assert "signed out on all other devices" in page.text
    assert (other.get("/").text, remembered.get("/").text, owner.get("/").text) == ("nobody", "nobody", PHONE)
    assert by_api(made).get("/").text == PHONE


def test_site_can_end_other_sessions() -> None:
    extension_of: dict[str, Any] = {}

    def prepare(app: Flask) -> None:
        @app.post("/forget")
        def forget() -> str:
            extension_of["phone_verify"].end_other_sessions(made.users["u0"])
            return "done"

    extension_of["phone_verify"] = PhoneVerify()
    made = make(before=prepare, extension=extension_of["phone_verify"])
    client = by_api(made)
    made.app.test_client().post("/forget")
    assert client.get("/").text == "nobody"


def test_ended_remember_cookie_stays_ended_without_a_user() -> None:
    """Flask-Login reads the cookie if the session's user no longer exists."""
    made = make()
    thief, owner = by_remember_cookie(made), by_api(made)
    change(made, owner)
    thief_account = by_api(made, "+989120000055")
    thief.set_cookie("session", thief_account.get_cookie("session").value)
    del made.users["u1"]
    assert thief.get("/").text == "nobody"
    assert is_problem(thief.get(SESSION), 401, "not_signed_in")


def test_session_ending_others_concurrently_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner's change happens between the step of the thief's button and its end."""
    made = make()
    owner, thief = by_api(made), by_api(made)
    verifier = made.app.extensions["phone_verify"].site.verifier
    end_sessions = verifier.end_sessions

    def overtaken(subject: str) -> None:
        end_sessions(subject)
        monkeypatch.undo()
        change(made, owner)

    monkeypatch.setattr(verifier, "end_sessions", overtaken)
    assert submit(thief, "/phone/verify/", sign_out_others="1").status_code == 303
    assert thief.get("/").text == "nobody"


def test_running_request_revives_no_ended_session() -> None:
    clients: dict[str, Any] = {}
    extension = PhoneVerify()

    def prepare(app: Flask) -> None:
        @app.post("/late")
        def late() -> str:
            user = current_user._get_current_object()
            submit(clients["owner"], "/phone/verify/", sign_out_others="1")
            extension.end_other_sessions(user)
            return "done"

    made = make(before=prepare, extension=extension)
    clients["owner"], thief = by_api(made), by_api(made)
    assert thief.post("/late").text == "done"
    assert thief.get("/").text == "nobody"


class DownStore(MemoryStore):
    """A store that fails once it is down."""

    down = False

    async def count(self, *args: Any) -> Any:
        if self.down:
            raise StoreError("down")
        return await super().count(*args)


def test_store_outage_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make()
    client = by_api(made)
    store = made.app.extensions["phone_verify"].site.verifier.flows._store
    monkeypatch.setattr(type(store), "count", DownStore.count)
    monkeypatch.setattr(type(store), "down", True, raising=False)
    assert client.get("/").status_code == 503
    assert is_problem(client.get(SESSION), 503, "unavailable")
    monkeypatch.undo()
    assert client.get("/").text == PHONE


def failing_at(made: Made, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Make the store fail at one step, counted from now."""
    store = made.app.extensions["phone_verify"].site.verifier.flows._store
    steps = count(1)

    def failing(verb: Any) -> Any:
        async def run(*args: Any, **more: Any) -> Any:
            if next(steps) == step:
                raise StoreError("down")
            return await verb(*args, **more)

        return run

    for name in ("count", "get", "spend", "redeem"):
        monkeypatch.setattr(store, name, failing(getattr(store, name)))


@pytest.mark.parametrize("step", range(1, 6))
def test_store_failure_at_login_signs_nobody_in(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    made = make(TESTING=False)
    client = made.app.test_client()
    token = proof(client, made)
    with monkeypatch.context() as patch:
        failing_at(made, patch, step)
        answer = client.post(SESSION, json={"proof": token})
        assert is_problem(answer, 503, "unavailable")
        assert answer.headers["Retry-After"]
    assert client.get("/").text == "nobody"


@pytest.mark.parametrize("step", range(1, 8))
def test_store_failure_on_a_page_signs_nobody_in(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    made = make(TESTING=False)
    client = made.app.test_client()
    submit(client, "/phone/login/", phone=PHONE)
    csrf = token_of(client.get("/phone/code/"))
    fields = {"csrf_token": csrf, "code": made.code, "asks_remember": "1", "remember": "1"}
    with monkeypatch.context() as patch:
        failing_at(made, patch, step)
        answer = client.post("/phone/code/", data=fields)
        assert answer.status_code == 303
        page = client.get(answer.location, follow_redirects=True)
        assert "Something went wrong" in page.text
        assert page.status_code == 200 or page.headers["Retry-After"]
    assert client.get("/").text == "nobody"
    assert client.get_cookie("remember_token") is None


def test_outage_keeps_only_ids_of_verifications(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(TESTING=False)
    client = made.app.test_client()
    submit(client, "/phone/login/", phone=PHONE)
    csrf = token_of(client.get("/phone/code/"))
    with monkeypatch.context() as patch:
        patch.setattr(blueprint.flow, "submit_code", failing_store)
        fields = {"csrf_token": csrf, "code": "1", "verification": "x" * 5000}
        answer = client.post("/phone/code/", data=fields)
    assert (answer.status_code, answer.location) == (303, "/phone/code/")
    assert "Something went wrong" in client.get(answer.location).text


def failing_store(*_: Any, **__: Any) -> Any:
    raise StoreError("down")


@pytest.mark.parametrize("step", range(1, 7))
def test_number_never_changes_without_ending_sessions(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    made = make(TESTING=False)
    other, owner = by_api(made), by_api(made)
    made.clock.move(120)
    token = proof(owner, made, NEW, "change_phone")
    with monkeypatch.context() as patch:
        failing_at(made, patch, step)
        answer = owner.put(f"{SESSION}/phone", json={"proof": token})
    if made.users["u0"].phone == NEW:
        assert (answer.status_code, other.get("/").text) == (200, "nobody")
    else:
        assert is_problem(answer, 503, "unavailable")
    assert owner.get("/").text == made.users["u0"].phone


def test_error_page_of_the_site_may_ask_for_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(app: Flask) -> None:
        @app.errorhandler(503)
        def sorry(error: Any) -> Any:
            return render_template_string("sorry {{ current_user.is_authenticated }}"), 503

    made = make(before=prepare, TESTING=False)
    client = by_api(made)
    with monkeypatch.context() as patch:
        failing_at(made, patch, 1)
        answer = client.get("/")
    assert (answer.status_code, answer.text) == (503, "sorry False")
    assert client.get("/").text == PHONE


def test_sign_in_that_races_the_owners_change_is_refused() -> None:
    """The owner's change happens after the thief's user was found, and before the session starts."""
    made = make()
    owner, thief = by_api(made), made.app.test_client()
    earned = proof(thief, made)
    made.clock.move(120)
    change_to = proof(owner, made, NEW, "change_phone")
    find = made.find_or_make

    def found_and_overtaken(redeemed: Any) -> Any:
        found = find(redeemed)
        if redeemed.phone.e164 == PHONE:
            assert owner.put(f"{SESSION}/phone", json={"proof": change_to}).status_code == 200
        return found

    made.app.extensions["phone_verify"].accounts.user_for_phone = found_and_overtaken
    assert is_problem(thief.post(SESSION, json={"proof": earned}), 403, "login_refused")
    assert thief.get("/").text == "nobody"
    assert owner.get("/").text == NEW
