"""Our views customized by a site: subclasses, with other forms, templates and URLs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client

from phone_verify_django import views
from tests.clients import Browser
from tests.conftest import missing

from . import custom_site
from .conftest import PHONE, Network
from .test_verify_page import CODE, LOGIN, VERIFY

pytestmark = pytest.mark.django_db

HERE = Path(__file__).parent
OURS = {"terms": "on", "phone": PHONE}


@pytest.fixture
def own_site_urls(settings: Any) -> None:
    """The site of `custom_site`, with its templates."""
    settings.ROOT_URLCONF = custom_site.__name__
    [engine] = settings.TEMPLATES
    settings.TEMPLATES = [{**engine, "DIRS": [HERE / "own_templates"]}]


@pytest.mark.usefixtures("own_site_urls")
class TestSubclasses:
    pytestmark = pytest.mark.django_db

    def test_template_may_override_single_blocks(self, visitor: Browser) -> None:
        page = visitor.get(LOGIN).text
        for own in ('content="own"', "Welcome back", 'href="/help"', 'name="terms"'):
            assert own in page
        assert 'name="phone"' in page
        assert "Welcome back" not in visitor.get("/enter/").text

    def test_custom_field_is_validated_before_sending(self, visitor: Browser, network: Network) -> None:
        answer = visitor.follow(visitor.post_form(LOGIN, phone=PHONE, next="/there"))
        assert "Accept the terms." in answer.text
        assert 'name="next" value="/there"' in answer.text
        assert network.sent == 0
        assert visitor.post_form(LOGIN, **OURS).location == CODE

    def test_form_may_assemble_the_number(self, visitor: Browser, network: Network) -> None:
        assert visitor.post_form(LOGIN, phone="9120000000", terms="on").location == CODE
        assert visitor.post_form(CODE, code=network.code).status == 303
        assert visitor.get("/").text == PHONE

    def test_view_decides_the_success_url(self, visitor: Browser, network: Network) -> None:
        visitor.post_form(LOGIN, **OURS)
        answer = visitor.post_form(CODE, code=network.code)
        assert (answer.location, answer.headers["x-own"]) == ("/verified", "yes")
        answer = visitor.post_form("/phone/logout/")
        assert answer.location == "/goodbye"

    def test_next_precedes_the_success_url(self, visitor: Browser, network: Network) -> None:
        visitor.post_form(LOGIN, **OURS, next="/there")
        assert visitor.post_form(CODE, code=network.code, next="/there").location == "/there"

    def test_signed_in_user_is_redirected_unless_reauth_is_due(self, client: Client) -> None:
        client.force_login(User.objects.create_user("somebody"))
        assert client.get(LOGIN)["Location"] == "/verified"
        assert client.get(LOGIN, {"next": "/there"})["Location"] == "/there"
        assert client.get(LOGIN, {"next": f"{VERIFY}?next=/there"}).status_code == 200
        assert client.get("/enter/").status_code == 200  # the default
        with pytest.raises(ValueError, match="redirects back"):
            client.get(LOGIN, {"next": LOGIN})

    def test_view_may_be_mounted_elsewhere(self, visitor: Browser, network: Network) -> None:
        page = visitor.get("/enter/").text
        assert 'action="/phone/login/"' in page
        assert 'href="/phone/static/' in page
        answer = visitor.post_form("/enter/", phone=PHONE)
        assert answer.location == CODE
        assert "Path=/" in answer.cookies["phone_verify"]

    def test_page_rules_hold_for_a_custom_dispatch(self, visitor: Browser) -> None:
        for view in (custom_site.OwnCode, views.LoginView, views.VerifyView, views.LogoutView):
            assert view.as_view()._non_atomic_requests == set(connections)  # type: ignore[attr-defined]
            assert view.as_view().view_class is view  # type: ignore[attr-defined]
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert visitor._carrier.send("POST", CODE, b"code=123456", form).status == 403
        assert "no-store" in visitor.get(CODE).headers["cache-control"]

    def test_plain_form_is_enough_for_a_template(self, visitor: Browser, network: Network) -> None:
        page = visitor.get("/plain/?next=/there").text
        field = re.search(r'<input[^>]*name="phone"[^>]*>', page)
        assert field
        for attribute in ('type="tel"', 'inputmode="tel"', 'autocomplete="tel"', 'dir="ltr"', "required"):
            assert attribute in field[0]
        assert "How would you like to verify it" not in page  # there is only one
        assert 'name="next" value="/there"' in page
        assert visitor.post_form("/plain/", phone="12", next="/there").location == "/phone/login/?next=%2Fthere"
        answer = visitor.get("/plain/?next=/there")
        assert 'value="12"' in answer.text
        assert "look like a valid mobile number" in answer.text
        assert 'name="next" value="/there"' in answer.text
        assert visitor.post_form("/plain/", phone=PHONE).location == CODE
        page = visitor.get("/plain-code/").text
        field = re.search(r'<input[^>]*name="code"[^>]*>', page)
        assert field
        assert 'autocomplete="one-time-code"' in field[0]
        assert 'inputmode="numeric"' in field[0]
        answer = visitor.post_form("/plain-code/", code=network.wrong)
        answer = visitor.get(answer.target.replace("/phone/code/", "/plain-code/"))
        assert "Incorrect code" in answer.text
        assert visitor.post_form("/plain-code/", code=network.code, asks_remember="1").status == 303
        assert visitor.get("/").text == PHONE

    def test_form_may_omit_the_remember_box(self, visitor: Browser, network: Network) -> None:
        visitor.post_form(LOGIN, **OURS)
        assert 'name="remember"' in visitor.get("/plain-code/").text
        page = visitor.get("/code-alone/").text
        assert 'name="code"' in page
        assert "remember" not in page
        cookie = visitor.post_form("/code-alone/", code=network.code).cookies["sessionid"]
        assert "Max-Age" in cookie

    def test_form_shows_the_channel_choices(self, visitor: Browser, configure: Any) -> None:
        configure(sms="console://", telegram="sandbox://127.0.0.1:9")
        page = visitor.get("/plain/").text
        assert re.findall(r'<input type="radio" name="channel" value="(\w+)"', page) == ["sms", "telegram"]
        assert re.search(r'value="sms"[^>]*checked', page)

    def test_crispy_lays_the_form_out(self, visitor: Browser, network: Network, settings: Any) -> None:
        try:
            import crispy_bootstrap5
            import crispy_forms
        except ImportError:
            missing("django-crispy-forms with crispy-bootstrap5")
        [engine] = settings.TEMPLATES
        folders = [Path(str(found.__file__)).parent / "templates" for found in (crispy_forms, crispy_bootstrap5)]
        tags = {name: f"crispy_forms.templatetags.{name}" for name in
                ("crispy_forms_tags", "crispy_forms_field", "crispy_forms_filters", "crispy_forms_utils")}  # fmt: skip
        options = {**engine["OPTIONS"], "libraries": tags}
        settings.TEMPLATES = [{**engine, "DIRS": [*engine["DIRS"], *folders], "OPTIONS": options}]
        settings.CRISPY_ALLOWED_TEMPLATE_PACKS = settings.CRISPY_TEMPLATE_PACK = "bootstrap5"
        page = visitor.get("/crispy/").text
        field = re.search(r'<input[^>]*name="phone"[^>]*>', page)
        assert field
        assert "form-control" in field[0]
        assert 'type="tel"' in field[0]
        visitor.post_form("/crispy/", phone="12")
        answer = visitor.get("/crispy/")
        assert "invalid-feedback" in answer.text
        assert visitor.post_form("/crispy/", phone=PHONE).location == CODE


def test_login_required_site_still_shows_our_pages(visitor: Browser, network: Network, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    assert visitor.get("/").status == 302
    assert visitor.call("POST", "v1/verifications", {"phone": PHONE}).status == 201
    assert visitor.get("/phone/static/phone_verify.css").status == 200
    assert visitor.get(VERIFY).location == f"{LOGIN}?next=%2Fphone%2Fverify%2F"
    network.clock.move(120)
    assert visitor.post_form(LOGIN, phone=PHONE).location == CODE
    assert visitor.post_form(CODE, code=network.code).location == "/"


# The remember choice


@pytest.mark.parametrize("ends_with_browser", [False, True])
@pytest.mark.parametrize(
    ("form", "stays"),
    [({}, None), ({"asks_remember": "1"}, False), ({"asks_remember": "1", "remember": "1"}, True)],
    ids=["not asked", "no", "yes"],
)
def test_session_expiry_follows_the_remember_choice(
    visitor: Browser,
    network: Network,
    settings: Any,
    form: dict[str, str],
    stays: bool | None,
    ends_with_browser: bool,
) -> None:
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = ends_with_browser
    visitor.post_form(LOGIN, phone=PHONE)
    page = visitor.get(CODE).text
    assert re.search(r'name="remember"[^>]*checked', page)
    cookie = visitor.post_form(CODE, code=network.code, **form).cookies["sessionid"]
    if stays if stays is not None else not ends_with_browser:
        assert f"Max-Age={settings.SESSION_COOKIE_AGE}" in cookie
    else:
        assert "Max-Age" not in cookie
    assert visitor.get("/").text == PHONE


def test_api_login_ignores_the_remember_choice(visitor: Browser, network: Network, settings: Any) -> None:
    from .conftest import verified

    proof = verified(visitor, network)["proof"]
    cookie = visitor.call("POST", "v1/session", {"proof": proof}).cookies["sessionid"]
    assert f"Max-Age={settings.SESSION_COOKIE_AGE}" in cookie


def test_cleared_checkbox_stays_cleared_after_a_wrong_code(visitor: Browser, network: Network) -> None:
    visitor.post_form(LOGIN, phone=PHONE)
    page = visitor.follow(visitor.post_form(CODE, code=network.wrong, asks_remember="1")).text
    assert re.search(r'name="remember"(?![^>]*checked)', page)
