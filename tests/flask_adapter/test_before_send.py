"""The site's decision before anything is sent, on Flask: the decorator, the setting, and forms of the site."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, render_template_string
from jinja2 import ChoiceLoader, DictLoader

from phone_verify import ClientFacts, Refusal, SendOrder
from phone_verify_flask import PhoneVerify
from phone_verify_flask.forms import PhoneForm

from .sites import PHONE, Made, make, submit

LOGIN, START = "/phone/login/", "/phone/v1/verifications"
TEXT = "Not today."

asked: list[tuple[SendOrder, ClientFacts]] = []


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    asked.clear()


def refuse(order: SendOrder, client: ClientFacts) -> Refusal | None:
    asked.append((order, client))
    return Refusal(TEXT)


async def refuse_later(order: SendOrder, client: ClientFacts) -> Refusal | None:
    return refuse(order, client)


def hooked(hook: Any = refuse, **config: Any) -> Made:
    """A site whose extension got the hook after `init_app`."""
    extension = PhoneVerify()
    made = make(extension=extension, before=_own_form, **config)
    assert extension.before_send(hook) is hook
    return made


def _own_form(app: Flask) -> None:
    @app.route("/number", methods=["GET", "POST"])
    def number() -> Any:
        form = PhoneForm()
        sent = form.validate_on_submit() and form.send()
        return render_template_string("{{ form.hidden_tag() }}{{ form.phone.errors }}{{ sent }}", form=form, sent=sent)


@pytest.mark.parametrize("hook", [refuse, refuse_later])
def test_decorated_hook_decides(hook: Any) -> None:
    made = hooked(hook)
    answer = made.app.test_client().post(START, json={"phone": PHONE, "extra": {"a": "b"}})
    assert (answer.status_code, answer.json["code"], answer.json["detail"]) == (403, "send_refused", TEXT)
    assert made.transport.notices == []
    assert asked[0][1].extra == {"a": "b"}


def test_setting_takes_precedence_over_the_decorator() -> None:
    made = hooked(lambda order, client: None, PHONE_VERIFY_BEFORE_SEND=refuse)
    assert made.app.test_client().post(START, json={"phone": PHONE}).status_code == 403


def test_page_shows_the_refusal() -> None:
    made = hooked()
    client = made.app.test_client()
    submit(client, LOGIN, phone=PHONE, captcha="x")
    assert TEXT in client.get(LOGIN).text
    [(order, facts)] = asked
    assert (order.by_client, facts.extra) == (True, {"captcha": "x"})


def test_token_of_another_name_does_not_reach_the_hook() -> None:
    made = hooked(WTF_CSRF_FIELD_NAME="my_token")
    client = made.app.test_client()
    page = client.get(LOGIN).text
    token = page.partition('name="my_token" value="')[2].partition('"')[0]
    client.post(LOGIN, data={"my_token": token, "phone": PHONE, "captcha": "x"})
    assert asked[0][1].extra == {"captcha": "x"}


def test_form_of_the_site_shows_the_refusal() -> None:
    made = hooked()
    client = made.app.test_client()
    page = submit(client, "/number", phone=PHONE, captcha="x")
    assert TEXT in page.text
    assert made.transport.notices == []
    assert (asked[0][0].purpose, asked[0][1].extra) == ("confirm", {"captcha": "x"})


def test_widget_of_the_site_is_in_the_form() -> None:
    made = hooked()
    loader = made.app.jinja_loader
    widget = DictLoader({"phone_verify/captcha.html": '<div class="widget"></div>'})
    made.app.jinja_loader = ChoiceLoader([widget, *([loader] if loader else [])])
    page = made.app.test_client().get(LOGIN).text
    assert '<div class="widget">' in page.partition('name="phone"')[2].partition("</form>")[0]
