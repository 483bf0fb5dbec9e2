"""The site's pages: Flask-WTF forms, and the template variable."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, redirect, render_template_string, request
from flask_login import current_user
from flask_wtf import CSRFProtect

from phone_verify.errors import StoreError
from phone_verify.exchange import HttpResponse
from phone_verify_flask import recent_phone_check_required
from phone_verify_flask.forms import CodeForm, PhoneForm

from .sites import PHONE, Made, make, proof, submit

OTHER = "+989120000007"
SESSION = "/phone/v1/session"
PAGE = """{{ form.hidden_tag() }}{% for field in form if field.name != "csrf_token" %}{{ field.label }}{{ field }}
{% for error in field.errors %}<p class="error">{{ error }}</p>{% endfor %}{% endfor %}"""


def site(**more: Any) -> Made:
    """A site with two custom pages: for a number, and for the code."""

    def prepare(app: Flask) -> None:
        @app.route("/number", methods=["GET", "POST"])
        def number() -> Any:
            form = PhoneForm()
            if form.validate_on_submit() and form.send():
                return redirect("/number/code")
            return render_template_string(PAGE, form=form)

        @app.route("/number/code", methods=["GET", "POST"])
        def code() -> Any:
            form = CodeForm()
            if "again" in request.form:
                form.send_again()
            elif form.validate_on_submit() and (proven := form.prove()):
                return f"{proven.phone.e164} {proven.purpose}"
            return render_template_string(PAGE, form=form)

        @app.get("/money")
        @recent_phone_check_required(timedelta(minutes=10))
        def money() -> str:
            return "money"

        @app.get("/show")
        def show() -> str:
            return render_template_string(
                '{% from "phone_verify/macros.html" import phone_status, sign_in_link, sign_out_button with context %}'
                "{{ phone_status(current_user) }}|{{ sign_in_link() }}|{{ sign_out_button(next='/bye') }}|"
                "{{ phone_verify.hint(current_user) }}|{{ phone_verify.checked(600) }}|{{ phone_verify.number('<b>') }}"
            )

    return make(before=prepare, **more)


def errors(page: Any) -> list[str]:
    return re.findall('<p class="error">(.*?)</p>', page.text)


def test_custom_forms_verify_a_number() -> None:
    made = site()
    client = made.app.test_client()
    assert submit(client, "/number", phone="+98 912 000 0007").location == "/number/code"
    assert errors(submit(client, "/number/code", code=made.wrong_code)) == ["Incorrect code. 4 attempts left."]
    assert submit(client, "/number/code", code=made.code).text == f"{OTHER} confirm"
    assert errors(submit(client, "/number/code", code=made.code)) == [
        "We couldn&#39;t find this verification. Start over."
    ]


@pytest.mark.parametrize("typed", ["", "12", "0912", "x" * 5000, "+98912000000٧x", "\x00"])
def test_invalid_number_is_reported_and_sends_nothing(typed: str) -> None:
    made = site()
    answer = submit(made.app.test_client(), "/number", phone=typed)
    assert answer.status_code == 200
    assert len(errors(answer)) >= 1
    assert made.transport.notices == []


@pytest.mark.parametrize("typed", ["", "1" * 5000, "abc", "²²²²²²"])
def test_malformed_code_is_reported_and_spends_no_attempt(typed: str) -> None:
    made = site()
    client = made.app.test_client()
    submit(client, "/number", phone=OTHER)
    assert len(errors(submit(client, "/number/code", code=typed))) == 1
    assert "4 attempts" in errors(submit(client, "/number/code", code=made.wrong_code))[0]


def test_form_reports_that_another_channel_is_required() -> None:
    required = {"PHONE_VERIFY_PURPOSES": "confirm:require=sms+inbound_call"}
    made = site(PHONE_VERIFY_INBOUND_CALL="ssms://K@default", **required)
    client = made.app.test_client()
    submit(client, "/number", phone="+79160000002")
    for code in (made.wrong_code, made.code):
        page = submit(client, "/number/code", code=code)
    assert errors(page) == ["One more step: this number must be verified by another method as well."]


def test_limits_are_shown_at_the_field() -> None:
    made = site(PHONE_VERIFY_SENDS_PER_HOUR=1)
    client = made.app.test_client()
    submit(client, "/number", phone=OTHER)
    [error] = errors(submit(made.app.test_client(), "/number", phone=OTHER))
    assert error == "You can&#39;t get another code yet. Try again in 60 minutes."


def test_only_a_refused_number_is_blamed() -> None:
    made = site(PHONE_VERIFY_SMS="amoot://TOKEN@default")
    made.transport.answers += [HttpResponse(500), HttpResponse(200, {}, b'{"Status": 101}')]
    client = made.app.test_client()
    assert "send a code right now" in errors(submit(client, "/number", phone=OTHER))[0]
    assert "send a code to this number" in errors(submit(client, "/number", phone=OTHER))[0]


def test_number_entered_again_keeps_its_code() -> None:
    made = site()
    client = made.app.test_client()
    for _ in range(2):
        assert submit(client, "/number", phone=OTHER).location == "/number/code"
    assert len(made.transport.notices) == 1
    assert submit(client, "/number", phone=PHONE).location == "/number/code"
    assert len(made.transport.notices) == 2
    assert submit(client, "/number/code", code=made.code).text == f"{PHONE} confirm"


def test_expired_code_is_requested_again_without_the_number() -> None:
    made = site()
    client = made.app.test_client()
    submit(client, "/number", phone=OTHER)
    made.clock.move(600)
    assert "expired" in errors(submit(client, "/number/code", code=made.code))[0]
    assert errors(submit(client, "/number/code", again="1")) == []
    assert len(made.transport.notices) == 2
    assert submit(client, "/number/code", code=made.code).text == f"{OTHER} confirm"
    assert "find this verification" in errors(submit(client, "/number/code", again="1"))[0]


def test_code_is_resent_after_the_delay() -> None:
    made = site()
    client = made.app.test_client()
    assert "find this verification" in errors(submit(client, "/number/code", again="1"))[0]
    submit(client, "/number", phone=OTHER)
    first = made.code
    assert "Try again in 60 seconds" in errors(submit(client, "/number/code", again="1"))[0]
    made.clock.move(61)
    client.post("/number/code", data={"again": "1"})
    assert len(made.transport.notices) == 1, "without the token"
    assert errors(submit(client, "/number/code", again="1")) == []
    assert (len(made.transport.notices), made.code) == (2, first)
    assert submit(client, "/number/code", code=first).text == f"{OTHER} confirm"


def test_form_without_the_csrf_token_sends_nothing() -> None:
    for before in (None, CSRFProtect):
        made = site()
        if before:
            before(made.app)
        answer = made.app.test_client().post("/number", data={"phone": OTHER})
        assert answer.status_code in (200, 400)
        assert made.transport.notices == []


def test_only_the_current_number_counts_as_a_check() -> None:
    made = site()
    client = made.app.test_client()
    client.post(SESSION, json={"proof": proof(client, made)})
    with client.session_transaction() as kept:
        del kept["_phone_verify_checked_at"]
    submit(client, "/number", phone=OTHER)
    submit(client, "/number/code", code=made.code)
    assert client.get("/money").status_code == 303
    submit(client, "/number", phone=PHONE)
    submit(client, "/number/code", code=made.code)
    assert client.get("/money").status_code == 200


def enter(made: Made, phone: str) -> Any:
    client = made.app.test_client()
    assert client.post(SESSION, json={"proof": proof(client, made, phone)}).status_code in (200, 201)
    return client


def test_code_works_only_for_the_user_who_requested_it() -> None:
    made = site(PHONE_VERIFY_RESEND_AFTER=0)
    first, second, nobody = enter(made, PHONE), enter(made, "+989120000001"), made.app.test_client()
    submit(first, "/number", phone=OTHER)
    code = made.code
    with first.session_transaction() as kept:
        begun = kept["_phone_verify_begun"]
    for client in (second, nobody):
        with client.session_transaction() as kept:
            kept["_phone_verify_begun"] = begun
        client.get("/number")
        sent = len(made.transport.notices)
        assert "find this verification" in errors(submit(client, "/number/code", again="1"))[0]
        assert len(made.transport.notices) == sent
    assert errors(submit(second, "/number/code", code=code)) == ["Incorrect code."]
    assert submit(first, "/number", phone=OTHER).location == "/number/code"


def test_code_requested_before_sign_in_is_requested_again() -> None:
    made = site()
    client, anonymous = enter(made, PHONE), made.app.test_client()
    submit(anonymous, "/number", phone=OTHER)
    with anonymous.session_transaction() as kept:
        begun = kept["_phone_verify_begun"]
    with client.session_transaction() as kept:
        kept["_phone_verify_begun"] = begun
    assert submit(client, "/number", phone=OTHER).location == "/number/code"
    assert submit(client, "/number/code", code=made.code).text == f"{OTHER} confirm"


def test_wrong_codes_count_for_the_address() -> None:
    made = site(PHONE_VERIFY_WRONG_PER_HOUR_PER_ADDRESS=1)
    client = made.app.test_client()
    submit(client, "/number", phone=OTHER)
    submit(client, "/number/code", code=made.wrong_code)
    assert "Too many attempts" in errors(submit(client, "/number/code", code=made.code))[0]


def test_visitors_leave_a_fifth_of_the_quota() -> None:
    made = site(PHONE_VERIFY_SENDS_PER_HOUR_TOTAL=5)
    answers = [submit(made.app.test_client(), "/number", phone=f"+98912000000{n}") for n in range(6)]
    assert [answer.status_code for answer in answers] == [302] * 4 + [200] * 2


def test_old_session_restores_no_attempt_and_holds_no_number() -> None:
    made = site(PHONE_VERIFY_MAX_ATTEMPTS=2)
    client = made.app.test_client()
    submit(client, "/number", phone=OTHER)
    with client.session_transaction() as kept:
        assert OTHER[3:] not in repr(dict(kept))
        assert made.code not in repr(dict(kept))
    before = client.get_cookie("session").value  # type: ignore[union-attr]
    for _ in range(2):
        client.set_cookie("session", before)
        submit(client, "/number/code", code=made.wrong_code)
    client.set_cookie("session", before)
    assert "Request a new one" in errors(submit(client, "/number/code", code=made.code))[0]


def test_store_outage_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    made = site()
    client = made.app.test_client()
    submit(client, "/number", phone=OTHER)

    async def away(*_: object) -> None:
        raise StoreError("away")

    store = made.app.extensions["phone_verify"].site.verifier.flows._store
    for verb in ("get", "count"):
        monkeypatch.setattr(store, verb, away)
    assert "went wrong on our side" in errors(submit(client, "/number/code", code=made.code))[0]
    assert "went wrong on our side" in errors(submit(client, "/number", phone=OTHER))[0]


def test_sending_before_validation_raises_an_error() -> None:
    made = site()
    with made.app.test_request_context("/number"), pytest.raises(RuntimeError, match="validate_on_submit"):
        PhoneForm().send()


def test_forms_use_the_page_language() -> None:
    page = site().app.test_client().get("/number", headers={"Accept-Language": "fa"}).text
    assert "شماره" in page
    assert 'autocomplete="tel"' in page


def test_templates_show_the_users_number() -> None:
    made = site()
    client = made.app.test_client()
    stranger = client.get("/show?a=1").text.split("|")
    assert 'href="/phone/verify/?next=/show?a%3D1"' in stranger[0]
    assert stranger[1] == '<a href="/phone/login/?next=/show?a%3D1">Sign in</a>'
    assert stranger[3:] == ["", "False", ""]
    client.post(SESSION, json={"proof": proof(client, made)})
    shown = client.get("/show").text.split("|")
    assert '<bdi dir="ltr">+98 912 000 0000</bdi>' in shown[0]
    assert shown[3:] == ['<bdi dir="ltr">+98 ••••••••00</bdi>', "True", ""]


def test_macro_button_signs_out() -> None:
    made = site()
    client = made.app.test_client()
    client.post(SESSION, json={"proof": proof(client, made)})
    assert submit(client, "/show", next="/bye").status_code == 405
    fields = dict(re.findall('name="(.*?)" value="(.*?)"', client.get("/show").text))
    assert client.post("/phone/logout/", data=fields).location == "/bye"
    assert client.get("/").text == "nobody"


def test_site_template_variable_precedes_ours() -> None:
    made = make()
    made.app.add_url_rule(
        "/own", "own", lambda: render_template_string("{{ phone_verify }}", phone_verify=current_user.is_active)
    )
    assert made.app.test_client().get("/own").text == "False"
