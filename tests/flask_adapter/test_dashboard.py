"""The pages of staff on Flask: who may see them, forms with errors at their fields, and a test step by step."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from phone_verify.database.outbox import enqueue
from phone_verify.errors import StoreError
from phone_verify.i18n.languages import LANGUAGES
from phone_verify.services.listing import find_stored
from phone_verify.staff.call import Right
from phone_verify.staff.rendering import staff_texts
from phone_verify.sync import run
from phone_verify.webhooks_out.endpoints import read_endpoints
from phone_verify.webhooks_out.messages import Change, WebhookEvent
from phone_verify_flask.dashboard import dashboard
from tests.ledger_files import with_tables

from .sites import Made, follow, make, submit, token

PRICES = '{"currency": "EUR", "prices": [{"channel": "sms", "price": "0.06"}]}'
NUMBER = "+989120000000"
PAGES = (
    "",
    *(
        f"{page}/"
        for page in ("services/add", "services/default", "balance/default", "keys", "keys/add", "deliveries", "test")
    ),
)


def everyone(_: Right) -> bool:
    return True


def site(tmp_path: Path, may: Callable[[Right], object] | None = everyone, **settings: Any) -> Made:
    made = make(
        **{
            "PHONE_VERIFY_LEDGER": with_tables(tmp_path / "ledger.sqlite3"),
            "PHONE_VERIFY_PRICES": PRICES,
            "PHONE_VERIFY_SITE_NAME": "Example",
            **settings,
        }
    )
    made.app.register_blueprint(dashboard(may) if may else dashboard(), url_prefix="/staff")
    return made


def test_nobody_may_use_the_pages_by_default(tmp_path: Path) -> None:
    client = site(tmp_path, None).app.test_client()
    for path in ("", "services/add/", "services/default/", "balance/default/", "keys/", "deliveries/", "test/"):
        assert client.get(f"/staff/{path}").status_code == 403, path


def test_each_right_is_asked_for(tmp_path: Path) -> None:
    client = site(tmp_path, lambda right: right is Right.VIEW).app.test_client()
    assert client.get("/staff/").status_code == 200
    assert "services/add" not in client.get("/staff/").text
    for path in ("services/add/", "keys/", "keys/add/", "deliveries/", "test/"):
        assert client.get(f"/staff/{path}").status_code == 403, path
    for path in ("services/default/", "balance/default/"):
        fields = {"amount": "1", "csrf_token": token(client.get("/staff/services/default/"))}
        assert client.post(f"/staff/{path}", data=fields).status_code == 403, path


def test_row_of_the_sites_own_service_needs_the_right_to_change(tmp_path: Path) -> None:
    rights = {Right.VIEW, Right.ADD, Right.DELETE}
    client = site(tmp_path, rights.__contains__).app.test_client()
    assert submit(client, "/staff/services/add/", name="default", title="Mine").status_code == 403
    assert submit(client, "/staff/services/add/", name="shop").status_code == 303
    rights |= {Right.CHANGE}
    saved = follow(client, submit(client, "/staff/services/add/", name="default", title="Mine"))
    version = re.findall(r'name="version" value="(\d+)"', saved.text)[0]
    rights -= {Right.CHANGE}
    assert client.get("/staff/services/default/delete/").status_code == 403
    shop = client.get("/staff/services/shop/delete/")
    assert shop.status_code == 200
    fields = {"version": version, "csrf_token": token(shop)}
    assert client.post("/staff/services/default/delete/", data=fields).status_code == 403
    assert 'value="Mine"' in client.get("/staff/services/default/").text
    rights -= {Right.DELETE}
    rights |= {Right.CHANGE}
    assert "services/default/delete/" in client.get("/staff/services/default/").text
    assert "services/shop/delete/" not in client.get("/staff/services/shop/").text
    assert submit(client, "/staff/services/default/delete/", version=version).status_code == 303
    assert 'value="Mine"' not in client.get("/staff/services/default/").text


def test_form_without_the_token_changes_nothing(tmp_path: Path) -> None:
    client = site(tmp_path).app.test_client()
    answer = client.post("/staff/services/add/", data={"name": "shop"})
    assert answer.status_code == 403
    assert client.get("/staff/services/shop/").status_code == 404


def test_service_is_created_changed_and_deleted(tmp_path: Path) -> None:
    client = site(tmp_path).app.test_client()
    answer = submit(client, "/staff/services/add/", name="shop", title="Example Shop", channels="sms")
    page = follow(client, answer)
    assert "is saved" in page.text
    assert 'value="Example Shop"' in page.text
    version = re.findall(r'name="version" value="(\d+)"', page.text)[0]
    changed = submit(client, "/staff/services/shop/", version=version, title="Shop", code_length="8")
    assert 'value="8"' in follow(client, changed).text
    again = submit(client, "/staff/services/shop/", version=version, title="Other")
    assert again.status_code == 422
    assert "Someone else changed this service" in again.text
    assert 'value="Shop"' in client.get("/staff/services/shop/").text
    newest = re.findall(r'name="version" value="(\d+)"', client.get("/staff/services/shop/").text)[0]
    assert "is deleted" in follow(client, submit(client, "/staff/services/shop/delete/", version=newest)).text
    assert client.get("/staff/services/shop/").status_code == 404
    again = submit(client, "/staff/services/add/", name="shop", title="Other")
    assert again.status_code == 422
    assert "Was the name of a service that was deleted" in again.text


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("channels", "pigeon", "Unknown channel"),
        ("code_length", "99", "Must be from"),
        ("texts", "{", "Write JSON"),
        ("drivers", "nothing", "No driver is named"),
        ("name", "Not A Name", "lower-case letters"),
        ("name", "add", "Is the address of a page"),
        ("allowed_regions", "xx", "is not a region"),
    ],
)
def test_mistake_is_shown_at_its_field_and_input_is_kept(tmp_path: Path, field: str, value: str, problem: str) -> None:
    client = site(tmp_path).app.test_client()
    fields = {"name": "shop", "title": "Kept", field: value}
    answer = submit(client, "/staff/services/add/", **fields)
    assert answer.status_code == 422
    [error] = re.findall(rf'id="id_{field}_error"><li>(.*?)</li>', answer.text)
    assert problem in error
    assert re.search(rf'id="id_{field}"[^>]*aria-invalid="true"', answer.text)
    assert 'value="Kept"' in answer.text
    assert client.get("/staff/services/shop/").status_code == 404


@pytest.mark.parametrize("language", ["fa", "ru", "ar"])
def test_mistakes_are_in_the_language_of_the_page(tmp_path: Path, language: str) -> None:
    client = site(tmp_path).app.test_client()
    headers = {"Accept-Language": language}
    csrf = token(client.get("/staff/services/add/"))
    wrong = {
        "name": "?", "title": "x" * 99, "public": "maybe", "channels": "pigeon", "drivers": "nothing",
        "combine": "some", "purposes": "flying", "allowed_regions": "xx", "code_length": "99", "ttl": "ten",
        "max_attempts": "-1", "assurance": "much", "caller_attestation": "Z", "languages": "tlh",
        "texts": '{"login": {"en": "{what}"}}',
        "sends_per_hour": "-1", "caps": '{"day": {"money": "1e3"}}', "terms": '{"currency": "euro"}',
        "endpoints": '[{"url": "http://shop.example/"}]',
    }  # fmt: skip
    page = client.post("/staff/services/add/", data={**wrong, "csrf_token": csrf}, headers=headers).text
    errors = dict(re.findall(r'id="id_(\w+)_error"><li>(.*?)</li>', page))
    assert errors.keys() == wrong.keys()
    key = {"name": "", "service": "?", "networks": "x", "expires": "2001-01-01", "csrf_token": csrf}
    page = client.post("/staff/keys/add/", data=key, headers=headers).text
    errors |= {f"key {name}": said for name, said in re.findall(r'id="id_(\w+)_error"><li>(.*?)</li>', page)}
    assert len(errors) == len(wrong) + 4
    script = {"ru": "[а-я]{2}", "fa": "[آ-ی]{2}", "ar": "[ء-ي]{2}"}[language]
    assert [name for name, said in errors.items() if not re.search(script, said)] == []


def test_secrets_of_endpoints_are_not_shown_and_stay(tmp_path: Path) -> None:
    made = site(tmp_path)
    client = made.app.test_client()
    secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
    endpoints = f'[{{"url": "https://hooks.example.com/a", "secrets": ["{secret}"]}}]'
    page = follow(client, submit(client, "/staff/services/add/", name="shop", endpoints=endpoints))
    assert secret not in page.text
    shown = re.findall(r"whsec_…[0-9a-f]{12}", page.text)
    assert len(shown) == 1
    version = re.findall(r'name="version" value="(\d+)"', page.text)[0]
    kept = f'[{{"url": "https://hooks.example.com/b", "secrets": ["{shown[0]}"]}}]'
    assert submit(client, "/staff/services/shop/", version=version, endpoints=kept).status_code == 303
    services = made.app.extensions["phone_verify"].site.services
    row = run(services.rows.load("shop"))
    assert row.document["endpoints"][0]["secrets"] == [secret]
    assert row.document["endpoints"][0]["url"].endswith("/b")


SECRETS = ("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "whsec_enl4d3Z1dHNycXBvbm1sa2ppaGdmZWRj")


@pytest.mark.parametrize(
    "changed",
    [
        [{"url": "https://hooks.example.com/DIGEST", "secrets": ["DIGEST"]}],
        [{"url": "https://hooks.example.com/?secret=DIGEST", "secrets": [SECRETS[1]]}],
        [{"url": "https://hooks.example.com/a", "secrets": ["DIGEST"], "name": "DIGEST"}],
        [{"url": "https://hooks.example.com/a", "secrets": ["xDIGEST"]}],
        [{"url": "https://hooks.example.com/a", "secrets": {"DIGEST": ["DIGEST"]}}],
        [{"url": "https://hooks.example.com/a", "secrets": ["DIGEST"], "name": "other"}],
        [{"url": "https://hooks.example.com/a", "secrets": [["DIGEST"]]}],
        {"secrets": ["DIGEST"]},
    ],
)
def test_digest_stands_for_its_secret_only_at_its_place(tmp_path: Path, changed: Any) -> None:
    made = site(tmp_path)
    client = made.app.test_client()
    first = json.dumps([{"url": "https://hooks.example.com/a", "secrets": [SECRETS[0]]}])
    page = follow(client, submit(client, "/staff/services/add/", name="shop", endpoints=first))
    [digest] = re.findall(r"whsec_…[0-9a-f]{12}", page.text)
    version = re.findall(r'name="version" value="(\d+)"', page.text)[0]
    document = json.dumps(changed).replace("DIGEST", digest)
    answer = submit(client, "/staff/services/shop/", version=version, endpoints=document, title=digest)
    for text in (answer.text, client.get("/staff/services/shop/").text):
        assert SECRETS[0] not in html.unescape(text)
    row = run(made.app.extensions["phone_verify"].site.services.rows.load("shop"))
    for endpoint in row.document["endpoints"]:
        assert SECRETS[0] not in json.dumps({**endpoint, "secrets": None})


def test_endpoints_keep_their_own_secrets(tmp_path: Path) -> None:
    made = site(tmp_path)
    client = made.app.test_client()
    both = [{"url": f"https://{n}.example.com/", "name": n, "secrets": [s]} for n, s in zip("ab", SECRETS, strict=True)]
    page = follow(client, submit(client, "/staff/services/add/", name="shop", endpoints=json.dumps(both)))
    version = re.findall(r'name="version" value="(\d+)"', page.text)[0]
    shown = html.unescape(re.findall(r'id="id_endpoints"[^>]*>(.*?)</textarea>', page.text, re.DOTALL)[0])
    turned = json.dumps(list(reversed(json.loads(shown))))
    assert submit(client, "/staff/services/shop/", version=version, endpoints=turned).status_code == 303
    row = run(made.app.extensions["phone_verify"].site.services.rows.load("shop"))
    assert row.document["endpoints"] == both[::-1]


def test_secret_at_another_place_is_not_shown(tmp_path: Path) -> None:
    client = site(tmp_path).app.test_client()
    endpoints = json.dumps([{"url": f"https://hooks.example.com/{SECRETS[0]}", "secrets": [SECRETS[1]]}])
    fields = {"name": "shop", "title": SECRETS[0], "endpoints": endpoints}
    assert SECRETS[0] not in follow(client, submit(client, "/staff/services/add/", **fields)).text


def test_key_is_shown_once_and_revoked(tmp_path: Path) -> None:
    client = site(tmp_path).app.test_client()
    form = client.get("/staff/keys/add/").text
    id = re.findall(r'name="id" value="(\w{12})"', form)[0]
    made = submit(client, "/staff/keys/add/", id=id, name="Shop", service="default", channel_sms="1")
    assert "no-store" in made.headers["Cache-Control"]
    text = re.findall(r'value="(pv_[^"]+)"', made.text)[0]
    listed = client.get("/staff/keys/").text
    assert f"pv_{id}_…" in listed
    assert text not in listed
    repeated = submit(client, "/staff/keys/add/", id=id, name="Shop", service="default")
    assert repeated.status_code == 422
    assert "pv_" not in repeated.text.replace(f"pv_{id}_…", "")
    call = {"json": {"phone": NUMBER}, "headers": {"Authorization": f"Bearer {text}"}}
    assert client.post("/phone/v1/verifications", **call).status_code == 201
    assert "refused from now on" in follow(client, submit(client, "/staff/keys/", id=id)).text
    assert client.post("/phone/v1/verifications", **call).status_code == 401
    unknown = submit(client, "/staff/keys/add/", name="Shop", service="nothing")
    assert "No service is named" in re.findall(r'id="id_service_error"><li>(.*?)</li>', unknown.text)[0]
    wrong = submit(client, "/staff/keys/add/", id=id, name="", service="default")
    assert 'id="id_name_error"' in wrong.text


@pytest.mark.parametrize("amount", ["", "0", "-5", "1e3", "1.0000001", "ten", "NaN"])
def test_amount_that_is_none_is_400(tmp_path: Path, amount: str) -> None:
    client = site(tmp_path).app.test_client()
    answer = submit(client, "/staff/balance/default/", amount=amount)
    assert answer.status_code == 400
    assert 'id="id_amount_error"' in answer.text


def test_top_up_counts_once(tmp_path: Path) -> None:
    made = site(tmp_path)
    client = made.app.test_client()
    key = re.findall(r'name="key" value="(\w+)"', client.get("/staff/balance/default/").text)[0]
    for _ in range(2):
        page = follow(client, submit(client, "/staff/balance/default/", amount="99.90", note="invoice 7", key=key))
    assert "was sent before" in page.text
    assert page.text.count("invoice 7") == 1
    other = submit(client, "/staff/balance/default/", amount="5", note="invoice 8", key=key)
    assert other.status_code == 400
    assert "with another amount" in re.findall(r'id="id_amount_error"><li>(.*?)</li>', other.text)[0]
    assert f'value="{key}"' not in other.text
    account = run(made.app.extensions["phone_verify"].site.verifier.flows.ledger.ledger.account("default"))
    assert account.balance == Decimal("99.90")


@pytest.mark.parametrize("field", [{"note": "x" * 256}, {"note": "\0"}, {"key": "k" * 33}, {"amount": "9" * 201}])
def test_field_that_no_browser_sends_is_refused(tmp_path: Path, field: dict[str, str]) -> None:
    made = site(tmp_path)
    answer = submit(made.app.test_client(), "/staff/balance/default/", **{"amount": "5", **field})
    assert answer.status_code == 400
    assert "A field is too long" in answer.text
    assert run(made.app.extensions["phone_verify"].site.verifier.flows.ledger.ledger.account("default")) is None


def test_test_is_followed_step_by_step(tmp_path: Path) -> None:
    made = site(tmp_path)
    client = made.app.test_client()
    page = follow(client, submit(client, "/staff/test/", start="1", service="default", number=NUMBER))
    assert made.code not in page.text
    assert NUMBER not in page.text
    assert "•••••• is your Example code" in page.text
    assert "0.06 EUR" in page.text
    again = follow(client, submit(client, "/staff/test/", check="1", code=made.wrong_code))
    assert "Incorrect code." in again.text
    done = follow(client, submit(client, "/staff/test/", check="1", code=made.code))
    assert "Verified: the code or the call was correct" in done.text
    assert "verified" in done.text
    assert 'name="number"' in follow(client, submit(client, "/staff/test/", new="1")).text


def test_fields_that_are_not_sent_or_not_changed_stay(tmp_path: Path) -> None:
    made = site(tmp_path)
    client = made.app.test_client()
    title, caps = "pay whsec_abc", '{"day": {"count": 5}}'
    submit(client, "/staff/services/add/", name="shop", channels="sms", title=title, caps=caps, code_length="8")

    def save(**fields: str) -> Any:
        page = client.get("/staff/services/shop/").text
        version = re.findall(r'name="version" value="(\d+)"', page)[0]
        assert submit(client, "/staff/services/shop/", version=version, **fields).status_code == 303
        services = made.app.extensions["phone_verify"].site.services
        return find_stored(services, "shop").fields

    page = client.get("/staff/services/shop/").text
    shown = unescape(re.findall(r'name="title" id="id_title" value="([^"]*)"', page)[0])
    assert "whsec_abc" not in page
    fields = save(title=shown, code_length="")
    assert fields == {"channels": ["sms"], "title": title, "caps": {"day": {"count": 5}}}


def test_service_with_errors_is_named_by_the_pages(tmp_path: Path) -> None:
    store = {"PHONE_VERIFY_STORE": f"sqlite:///{tmp_path}/store.sqlite3"}
    client = site(tmp_path, **store).app.test_client()
    submit(client, "/staff/services/add/", name="shop", channels="sms")
    assert "submit" in follow(client, submit(client, "/staff/test/", start="1", service="shop", number=NUMBER)).text
    session = client.get_cookie("session")
    assert session is not None
    with sa.create_engine(f"sqlite:///{tmp_path}/ledger.sqlite3", poolclass=sa.NullPool).begin() as rows:
        broken = {"document": '{"drivers": ["gone"]}'}
        rows.execute(sa.text("UPDATE phone_verify_service SET document = :document, version = version + 1"), broken)
    client = site(tmp_path, **store).app.test_client()
    client.set_cookie("session", session.value)
    page = client.get("/staff/test/")
    assert "This service has errors" in re.findall(r'id="id_service_error"><li>(.*?)</li>', page.text)[0]
    refused = submit(client, "/staff/test/", start="1", service="shop", number=NUMBER)
    assert (refused.status_code, 'id="id_service_error"' in refused.text) == (422, True)
    assert "This service has errors" in follow(client, submit(client, "/staff/test/", check="1", code="000000")).text
    shown = follow(client, client.get("/staff/balance/shop/"))
    assert "This service has errors" in shown.text
    assert 'id="id_drivers_error"' in shown.text
    assert (
        "•••••• is your Example code"
        in follow(client, submit(client, "/staff/test/", start="1", service="default", number=NUMBER)).text
    )


def test_site_without_services_has_the_page_of_tests_alone(tmp_path: Path) -> None:
    made = site(tmp_path, PHONE_VERIFY_LEDGER=None, PHONE_VERIFY_PRICES=None)
    client = made.app.test_client()
    page = follow(client, client.get("/staff/"))
    assert 'name="number"' in page.text
    assert "staff-parts" not in page.text
    assert 'id="id_service"' not in page.text
    sent = follow(client, submit(client, "/staff/test/", start="1", number=NUMBER))
    assert "•••••• is your Example code" in sent.text
    assert "Verified" in follow(client, submit(client, "/staff/test/", check="1", code=made.code)).text
    for path in ("services/add/", "services/default/", "balance/default/", "keys/", "deliveries/", "reports/"):
        assert client.get(f"/staff/{path}").status_code == 404, path


def test_test_counts_for_the_key_and_obeys_its_channels(tmp_path: Path) -> None:
    made = site(tmp_path)
    client = made.app.test_client()
    ids = []
    for channel in ("channel_sms", "channel_voice"):
        id = re.findall(r'name="id" value="(\w{12})"', client.get("/staff/keys/add/").text)[0]
        submit(client, "/staff/keys/add/", id=id, name="Shop", service="default", **{channel: "1"})
        ids.append(id)
    refused = submit(client, "/staff/test/", start="1", service="default", number=NUMBER, key=ids[1])
    assert refused.status_code == 422
    assert 'id="id_channel_error"' in refused.text
    page = follow(client, submit(client, "/staff/test/", start="1", service="default", number=NUMBER, key=ids[0]))
    assert f"pv_{ids[0]}_…" in page.text
    with client.session_transaction() as kept:
        verification = kept["phone_verify_test"][0]
    [attempt] = run(made.app.extensions["phone_verify"].site.verifier.flows.ledger.ledger.attempts(verification))
    assert attempt.access_key == ids[0]
    submit(client, "/staff/keys/", id=ids[0])
    gone = submit(client, "/staff/test/", again="1")
    assert "This key is not valid." in follow(client, gone).text


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"number": "12"}, "number"),
        ({"channel": "pigeon"}, "channel"),
        ({"service": "nothing"}, "service"),
        ({"key": "3kTMd9aQz0Lw"}, "key"),
        ({"key": "of another service"}, "key"),
    ],
)
def test_test_that_cannot_start_is_refused_at_the_field(tmp_path: Path, fields: dict[str, str], field: str) -> None:
    made = site(tmp_path)
    client = made.app.test_client()
    if fields.get("key") == "of another service":
        submit(client, "/staff/services/add/", name="shop")
        fields = {"key": re.findall(r'name="id" value="(\w{12})"', client.get("/staff/keys/add/").text)[0]}
        submit(client, "/staff/keys/add/", id=fields["key"], name="Shop", service="shop")
    refused = submit(client, "/staff/test/", **{"start": "1", "service": "default", "number": NUMBER, **fields})
    assert refused.status_code == 422
    assert f'id="id_{field}_error"' in refused.text
    assert made.transport.notices == []


@pytest.mark.parametrize("language", ["en", "fa", "ru", "ar"])
def test_every_page_is_in_the_language(tmp_path: Path, language: str) -> None:
    client = site(tmp_path).app.test_client()
    headers = {"Accept-Language": language}
    for path in PAGES:
        page = client.get(f"/staff/{path}", headers=headers)
        assert page.status_code == 200, (path, page.text)
        assert f'<html lang="{language}" dir="{"rtl" if language in ("fa", "ar") else "ltr"}">' in page.text
        assert staff_texts(LANGUAGES[language])["services"] in page.text
        assert "<script" not in page.text
        assert "style=" not in page.text


@pytest.mark.parametrize("path", ["nothing/", "services/Shop/", "services/a%00b/", "balance/none/", "services/none/"])
def test_unknown_page_is_404(tmp_path: Path, path: str) -> None:
    assert site(tmp_path).app.test_client().get(f"/staff/{path}").status_code == 404


HOSTILE = (
    "\0",
    "‮",
    "9" * 5000,
    "{" * 2000,
    "-1",
    "<script>alert(1)</script>",
    "{{ 7*7 }}",
    r'["\ud800"]',
    r'{"fa": {"login": "{code} \ud800"}}',
    r'[{"url": "https://a.example/\ud800", "secrets": ["whsec_x"]}]',
)
FORMS = {
    "services/add/": ("name", "channels", "ttl", "texts", "endpoints", "version", "caps", "terms"),
    "services/default/": ("version", "title", "public", "endpoints"),
    "balance/default/": ("amount", "note", "key"),
    "keys/": ("id",),
    "keys/add/": ("id", "name", "service", "networks", "expires"),
    "test/": ("service", "key", "channel", "number", "code"),
    "deliveries/": ("service", "endpoint", "id"),
}


BUTTONS = {"test/": ("start", "check"), "deliveries/": ("again", "ping", "enable")}


@pytest.mark.slow
@pytest.mark.parametrize("path", FORMS)
def test_hostile_input_is_refused_and_never_fails(tmp_path: Path, path: str) -> None:
    client = site(tmp_path).app.test_client()
    form = {"csrf_token": token(client.get("/staff/services/add/"))}
    for button in BUTTONS.get(path, ("other",)):
        for name in FORMS[path]:
            for value in HOSTILE:
                fields = {"name": "shop", **form, button: "1", name: value}
                answer = client.post(f"/staff/{path}", data=fields)
                assert answer.status_code < 500, (button, name, value)
                assert "<script>" not in answer.text
                shown = client.get(f"/staff/{path}", query_string={name: value, "before": value})
                assert shown.status_code < 500, (name, value)


def test_filter_of_deliveries_stays_in_the_address(tmp_path: Path) -> None:
    made = site(tmp_path)
    client = made.app.test_client()
    query = {"service": "shop", "endpoint": "main"}
    form = {"csrf_token": token(client.get("/staff/deliveries/"))}
    for button in ("again", "ping", "enable"):
        answer = client.post("/staff/deliveries/", query_string=query, data={**form, **query, button: "1"})
        assert (answer.status_code, answer.location) == (303, "/staff/deliveries/?service=shop&endpoint=main")
    [endpoint] = read_endpoints([{"url": "https://hooks.example.com/a", "secrets": [SECRETS[0]]}])
    now = datetime.now(UTC)
    with sa.create_engine(f"sqlite:///{tmp_path}/ledger.sqlite3", poolclass=sa.NullPool).begin() as connection:
        for send in range(51):
            change = Change(WebhookEvent.SENT, "v" * 44, send, "shop", "login", "sms", "sent", "+98 ••••00", now)
            enqueue(connection, [endpoint], change, now)
    [older] = re.findall(r'href="([^"]*before=[^"]*)"', client.get("/staff/deliveries/", query_string=query).text)
    assert "endpoint=main" in older
    page = client.get(html.unescape(older))
    assert page.status_code == 200
    assert page.text.count('<th scope="row">') == 1


def test_failing_database_is_503_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = site(tmp_path)
    client = made.app.test_client()
    rows = made.app.extensions["phone_verify"].site.services.rows

    async def fail(*_: object) -> None:
        raise StoreError("down")

    form = {"csrf_token": token(client.get("/staff/services/add/")), "name": "shop"}
    monkeypatch.setattr(rows, "save", fail, raising=False)
    answer = client.post("/staff/services/add/", data=form)
    assert answer.status_code == 503
    assert "Nothing was changed" in answer.text
