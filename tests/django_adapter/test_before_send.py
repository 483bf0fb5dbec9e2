"""The site's decision before anything is sent, on Django: in the request's transaction, and from every form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils.timezone import now

from phone_verify import ClientFacts, PhoneNumber, Refusal, SendOrder
from phone_verify_django import calls
from phone_verify_django.models import VerifiedPhone
from phone_verify_django.site import current_site
from tests.clients import Browser
from tests.django_adapter.projects import ROOT, files

from .conftest import PHONE, Network

LOGIN = "/phone/login/"
STRANGER = "+989120000055"
Configure = Callable[..., None]

pytestmark = pytest.mark.django_db

asked: list[tuple[SendOrder, ClientFacts]] = []


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    asked.clear()


def note(order: SendOrder, client: ClientFacts) -> Refusal | None:
    asked.append((order, client))
    return None


def members() -> Any:
    """Return the documented function of a closed sign-up."""
    found: dict[str, Any] = {}
    exec(dict(files((ROOT / "docs" / "before_send.md").read_text("utf-8")))["members.py"], found)
    return found["check"]


async def async_members(order: SendOrder, client: ClientFacts) -> Refusal | None:
    """As `members`, with the asynchronous ORM."""
    if await VerifiedPhone.objects.filter(phone=order.phone.e164).aexists():
        return None
    return Refusal("This number has no account.", field="phone")


@pytest.fixture
def member() -> None:
    user = get_user_model().objects.create_user("sara")
    VerifiedPhone.objects.create(user=user, phone=PHONE, verified_at=now())


@pytest.mark.usefixtures("member")
@pytest.mark.parametrize("hook", [members(), async_members], ids=["def", "async def"])
def test_closed_sign_up_sends_to_members_only(
    visitor: Browser, network: Network, configure: Configure, hook: object
) -> None:
    """The member exists only in the transaction of this test, as in that of a request."""
    configure(sms="console://", before_send=hook)
    answer = visitor.call("POST", "v1/verifications", {"phone": STRANGER})
    assert (answer.status, answer.json()["code"], answer.json()["fields"]) == (403, "send_refused", ["phone"])
    page = visitor.follow(visitor.post_form(LOGIN, phone=STRANGER))
    assert "This number has no account." in page.text
    assert 'aria-invalid="true"' in page.text
    assert network.sent == 0
    assert visitor.post_form(LOGIN, phone=PHONE).location == "/phone/code/"
    assert network.sent == 1


def test_setting_is_a_dotted_path(visitor: Browser, network: Network, configure: Configure) -> None:
    configure(sms="console://", before_send=f"{__name__}.note")
    assert visitor.call("POST", "v1/verifications", {"phone": PHONE, "extra": {"a": "b"}}).status == 201
    [(order, client)] = asked
    assert (order.phone, order.by_client, order.signed_in) == (PhoneNumber(PHONE), True, False)
    assert client.extra == {"a": "b"}


def test_hook_receives_no_credential(visitor: Browser, network: Network, configure: Configure) -> None:
    configure(sms="console://", before_send=note)
    headers = {"Authorization": "Bearer hunter2", "Cookie": "a=hunter2", "X-Attestation": "fine", "User-Agent": "app"}
    visitor.call("POST", "v1/verifications", {"phone": PHONE}, headers=headers, secret="A" * 22)
    [(_, client)] = asked
    assert "hunter2" not in str(client.headers)
    assert "A" * 22 not in str(client.headers)
    assert (client.headers["x-attestation"], client.headers["user-agent"]) == ("fine", "app")
    assert "fine" not in repr(client)


def test_fields_of_a_form_that_are_not_ours_reach_the_hook(
    visitor: Browser, network: Network, configure: Configure
) -> None:
    configure(sms="console://", before_send=note)
    more = {"captcha": "x", "password1": "hunter2", "long": "y" * 8193, **{f"more{n}": "" for n in range(20)}}
    visitor.post_form(LOGIN, phone=PHONE, next="/there", **more)
    [(_, client)] = asked
    assert list(client.extra) == ["captcha", *(f"more{n}" for n in range(9))]


def test_resend_of_the_page_asks_the_hook(visitor: Browser, network: Network, configure: Configure) -> None:
    configure(sms="console://", before_send=note, resend_after=0)
    visitor.post_form(LOGIN, phone=PHONE)
    visitor.post_form("/phone/code/", resend="1", captcha="again")
    assert [order.is_resend for order, _ in asked] == [False, True]
    assert asked[1][1].extra == {"captcha": "again"}


def test_site_without_a_hook_refuses_the_field(visitor: Browser, network: Network, configure: Configure) -> None:
    configure(sms="console://")
    answer = visitor.call("POST", "v1/verifications", {"phone": PHONE, "extra": {}})
    assert (answer.status, answer.json()["fields"]) == (400, ["extra"])


def test_widget_of_the_site_is_in_every_form_that_sends(
    visitor: Browser, network: Network, configure: Configure, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "phone_verify").mkdir()
    (tmp_path / "phone_verify" / "captcha.html").write_text('<div class="widget"></div>')
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [{**engine, "DIRS": [tmp_path]}]
    configure(sms="console://", before_send=note)
    page = visitor.get(LOGIN).text
    assert page.count('<div class="widget">') == 1
    form = page.partition('name="phone"')[2].partition("</form>")[0]
    assert '<div class="widget">' in form
    code = visitor.follow(visitor.post_form(LOGIN, phone=PHONE)).text
    assert code.partition('name="resend"')[2].partition("</form>")[0].count('<div class="widget">') == 1


def test_form_of_another_package_has_facts(network: Network, configure: Configure) -> None:
    configure(sms="console://", before_send=note)
    request = HttpRequest()
    request.META = {"REMOTE_ADDR": "198.51.100.7", "HTTP_USER_AGENT": "x", "HTTP_COOKIE": "a=b"}
    request.POST = request.POST.copy()
    request.POST["captcha"] = "solved"
    assert calls.facts(request, current_site()) == ClientFacts(
        "198.51.100.7", {"user-agent": "x"}, {"captcha": "solved"}
    )
