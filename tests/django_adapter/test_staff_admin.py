"""The pages of staff in the admin: by permission, with errors at their fields, logged, and a test step by step."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client, override_settings

from phone_verify.sync import run
from phone_verify.webhooks_out.endpoints import read_endpoints
from phone_verify.webhooks_out.messages import Change, WebhookEvent
from phone_verify.webhooks_out.sender import Answer
from phone_verify_django.services.models import OutboxMessage, ServiceRow
from phone_verify_django.services.outbox_store import enqueue
from phone_verify_django.site import current_site

from .conftest import PHONE, Network

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.django_adapter.admin_urls")]

LIST = "/admin/phone_verify_services/servicerow/"
PASSWORD = "a password of the tests"
ALL = (
    "view_servicerow", "add_servicerow", "change_servicerow", "delete_servicerow", "add_payment",
    "view_outboxmessage", "change_outboxmessage", "add_verificationrow", "view_accesskeyrow",
)  # fmt: skip
PRICES = {"currency": "EUR", "prices": [{"channel": "sms", "price": "0.06"}]}
LEDGER = override_settings(
    PHONE_VERIFY={"sms": "console://", "ledger": "orm:", "prices": PRICES},
    AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.ModelBackend", "phone_verify_django.backends.PhoneBackend"],
)


@pytest.fixture(autouse=True)
def _with_services() -> Any:
    with LEDGER:
        yield


def staff(*permissions: str) -> Client:
    user = User.objects.create_user("staff", password=PASSWORD, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    assert user.user_permissions.count() == len(permissions)
    browser = Client(enforce_csrf_checks=True)
    assert browser.login(username="staff", password=PASSWORD)
    return browser


def submit(browser: Client, path: str, **fields: str) -> Any:
    page = browser.get(f"{LIST}{path}").content.decode()
    [token, *_] = re.findall(r'<div id="content-main">.*?name="csrfmiddlewaretoken" value="(\w+)"', page, re.S)
    return browser.post(f"{LIST}{path}", {**fields, "csrfmiddlewaretoken": token})


def shown(browser: Client, answer: Any) -> str:
    assert answer.status_code == 303, answer.content.decode()
    return str(browser.get(answer["Location"]).content.decode())


def test_permissions_decide_about_each_page() -> None:
    browser = staff("view_servicerow")
    assert "/services/add/" not in browser.get(LIST).content.decode()
    for path in ("services/add/", "services/shop/delete/", "deliveries/", "test/"):
        assert browser.get(f"{LIST}{path}").status_code == 403, path
    assert browser.get(f"{LIST}nothing/").status_code == 404
    index = browser.get("/admin/").content.decode()
    assert LIST in index
    assert f"{LIST}services/add/" not in index


PARTS = {
    LIST, f"{LIST}deliveries/", f"{LIST}test/",
    "/admin/phone_verify_services/accesskeyrow/", "/admin/phone_verify_services/quarter/",
}  # fmt: skip


def links(page: str, of: str) -> list[str]:
    """Return the addresses in the element with this class."""
    [found] = re.findall(rf'<(?:nav|div) class="{of}".*?</(?:nav|div)>', page, re.DOTALL)
    return re.findall(r'href="([^"?]*)', found)


@pytest.mark.parametrize("path", sorted(PARTS | {"/admin/phone_verify_services/accesskeyrow/add/"}))
def test_every_page_links_to_the_others_that_the_user_may_see(path: str) -> None:
    browser = staff(*ALL, "view_attempt", "add_accesskeyrow")
    assert set(links(browser.get(path).content.decode(), "staff-parts")) == PARTS


def test_page_has_no_links_to_parts_without_permission() -> None:
    page = staff("view_attempt", "view_servicerow").get("/admin/phone_verify_services/quarter/").content.decode()
    assert links(page, "staff-parts") == [LIST, "/admin/phone_verify_services/quarter/"]


@pytest.mark.parametrize(
    ("path", "above"),
    [
        (LIST, []),
        (f"{LIST}services/default/", [LIST]),
        (f"{LIST}balance/default/", [LIST, f"{LIST}services/default/"]),
        ("/admin/phone_verify_services/quarter/attempts/", ["/admin/phone_verify_services/quarter/"]),
    ],
)
def test_breadcrumbs_lead_to_the_pages_above(path: str, above: list[str]) -> None:
    page = staff(*ALL, "view_attempt").get(path).content.decode()
    assert links(page, "breadcrumbs") == ["/admin/", "/admin/phone_verify_services/", *above]


def test_staff_without_permission_see_nothing() -> None:
    browser = staff()
    assert browser.get(LIST).status_code == 403
    assert LIST not in browser.get("/admin/").content.decode()


def test_form_without_the_token_is_refused() -> None:
    assert staff(*ALL).post(f"{LIST}services/add/", {"name": "shop"}).status_code == 403
    assert not ServiceRow.objects.exists()


def test_service_is_created_changed_and_deleted() -> None:
    browser = staff(*ALL)
    page = shown(browser, submit(browser, "services/add/", name="shop", title="Example Shop", channels="sms"))
    assert "is saved" in page
    version = re.findall(r'name="version" value="(\d+)"', page)[0]
    assert submit(browser, "services/shop/", version=version, title="Shop").status_code == 303
    late = submit(browser, "services/shop/", version=version, title="Other")
    assert late.status_code == 422
    assert "Someone else changed this service" in late.content.decode()
    newest = str(ServiceRow.objects.get().version)
    assert "is deleted" in shown(browser, submit(browser, "services/shop/delete/", version=newest))
    changes = LogEntry.objects.order_by("pk").values_list("object_repr", "change_message")
    assert list(changes) == [("shop", "Created."), ("shop", "Changed."), ("shop", "Deleted.")]
    again = submit(browser, "services/add/", name="shop", title="Other")
    assert again.status_code == 422
    assert "Was the name of a service that was deleted" in again.content.decode()


def test_row_of_the_sites_own_service_needs_the_permission_to_change() -> None:
    browser = staff("view_servicerow", "add_servicerow", "delete_servicerow")
    assert submit(browser, "services/add/", name="default", title="Mine").status_code == 403
    assert not ServiceRow.objects.exists()
    assert browser.get(f"{LIST}services/default/delete/").status_code == 403
    user = User.objects.get()
    user.user_permissions.set(Permission.objects.filter(codename__in=("add_servicerow", "change_servicerow")))
    saved = shown(browser, submit(browser, "services/add/", name="default", title="Mine"))
    version = re.findall(r'name="version" value="(\d+)"', saved)[0]
    assert submit(browser, "services/default/delete/", version=version).status_code == 303
    assert not ServiceRow.objects.exists()


def test_mistake_is_shown_at_its_field() -> None:
    browser = staff(*ALL)
    answer = submit(browser, "services/add/", name="shop", channels="pigeon", title="Kept")
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "Unknown channel" in re.findall(r'id="id_channels_error"><li>(.*?)</li>', page)[0]
    assert 'value="Kept"' in page
    assert not ServiceRow.objects.exists()


def test_amount_that_is_none_is_400_and_a_top_up_is_kept() -> None:
    browser = staff(*ALL)
    assert submit(browser, "balance/default/", amount="-1").status_code == 400
    assert submit(browser, "balance/default/", amount="5", note="x" * 256).status_code == 400
    assert "99.90 EUR" in shown(browser, submit(browser, "balance/default/", amount="99.90", key="k1"))


@pytest.mark.django_db(transaction=True)
def test_service_with_errors_is_named_by_the_pages() -> None:
    ServiceRow.objects.create(name="shop", version=1, document='{"drivers": ["gone"]}')
    browser = staff(*ALL)
    page = shown(browser, browser.get(f"{LIST}balance/shop/"))
    assert "This service has errors" in page
    assert 'id="id_drivers_error"' in page
    refused = submit(browser, "test/", start="1", service="shop", number="+989120000000")
    assert (refused.status_code, 'id="id_service_error"' in refused.content.decode()) == (422, True)


def test_test_is_followed_step_by_step(network: Network) -> None:
    browser = staff(*ALL)
    page = shown(browser, submit(browser, "test/", start="1", service="default", number=PHONE))
    assert network.code not in page
    assert PHONE not in page
    assert "0.06 EUR" in page
    done = shown(browser, submit(browser, "test/", check="1", code=network.code))
    assert "Verified: the code or the call was correct" in done


def test_page_of_tests_of_the_verifications_leads_to_this_one() -> None:
    answer = staff("view_verificationrow", "add_verificationrow").get(
        "/admin/phone_verify_django/verificationrow/send-test/"
    )
    assert answer["Location"] == f"{LIST}test/"


def test_failed_delivery_is_sent_again() -> None:
    browser = staff(*ALL)
    secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
    [endpoint] = read_endpoints([{"url": "https://hooks.example.com/a", "secrets": [secret]}])
    now = current_site().verifier.flows.ledger.now()  # type: ignore[union-attr]
    change = Change(WebhookEvent.SENT, "v" * 44, 1, "shop", "login", "sms", "sent", "+98 ••••00", now)
    with connection.cursor() as cursor:
        enqueue(cursor, [endpoint], change, now)
    OutboxMessage.objects.update(status="failed", next_at=None, problem="answered 500", response=500)
    page = browser.get(f"{LIST}deliveries/?status=failed").content.decode()
    assert "answered 500" in page
    id = OutboxMessage.objects.get().id
    again = submit(browser, "deliveries/", again="1", id=id, service="shop", endpoint="main")
    assert "is due now" in shown(browser, again)
    assert OutboxMessage.objects.get().status == "pending"
    unknown = submit(browser, "deliveries/", ping="1", service="shop", endpoint="main")
    assert "no endpoint with this name" in shown(browser, unknown)
    gone = submit(browser, "deliveries/", again="1", id="msg_none", service="shop", endpoint="main")
    assert "no longer exists" in shown(browser, gone)


@pytest.mark.parametrize("url", ["http://127.0.0.1:6379/", "https://localhost/a", "http://[::1]:8000/a"])
def test_endpoint_on_this_machine_cannot_be_saved(url: str) -> None:
    own = {"url": url, "secrets": ["whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"]}
    document = json.dumps([{**own, "unencrypted_on_this_machine_for_development": True}])
    refused = submit(staff(*ALL), "services/add/", name="shop", endpoints=document)
    assert refused.status_code == 422
    assert "PHONE_VERIFY_SERVICES" in refused.content.decode()


def test_ping_is_signed_and_its_answer_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    browser = staff(*ALL)
    document = '[{"url": "https://192.0.2.1/a", "secrets": ["whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"]}]'
    refused = submit(browser, "services/add/", name="shop", endpoints=document)
    assert 'id="id_endpoints_error"' in refused.content.decode()
    document = document.replace("192.0.2.1", "hooks.example.com")
    assert submit(browser, "services/add/", name="shop", endpoints=document).status_code == 303
    sent: list[Any] = []

    def send(_self: Any, endpoint: Any, headers: Any, body: bytes) -> Any:
        sent.append((endpoint.url, headers, body))
        return Answer(204)

    monkeypatch.setattr("phone_verify.webhooks_out.sender.Sender.send", send)
    page = shown(browser, submit(browser, "deliveries/", ping="1", service="shop", endpoint="main"))
    assert "accepted the message: 204" in page
    [(url, headers, body)] = sent
    assert url == "https://hooks.example.com/a"
    assert {name.lower() for name in headers} >= {"webhook-id", "webhook-timestamp", "webhook-signature"}
    assert b'"type":"ping"' in body


@override_settings(PHONE_VERIFY={"sms": "console://"})
def test_site_without_services_has_no_pages() -> None:
    browser = staff(*ALL)
    assert browser.get(LIST).status_code == 404
    assert LIST not in browser.get("/admin/").content.decode()
    assert run(current_site().verifier.flows.services.find("default")) is not None
