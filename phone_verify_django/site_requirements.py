"""What our pages and API need of Django's own settings: URLs, sessions, users, templates.

Each rule is written once. `manage.py check` and the doctor report all findings; those that would
fail only after a message was paid are also logged when the URLs are loaded, since a server runs no
checks, and `require_session` refuses the request.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from django.apps import apps
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.template.loader import get_template
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string
from django.utils.translation import override

from phone_verify.errors import ConfigurationError

from . import app_settings, backends

log = logging.getLogger("phone_verify")

AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
_SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
_INCLUDE = "path('phone/', include('phone_verify_django.urls'))"
_ADD_INCLUDE = f"Add {_INCLUDE} to your root URLconf, outside of other namespaces."
_IN_DATABASE = ("django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cached_db")
#: One of the pages' templates.
_TEMPLATE = "phone_verify/login.html"


def complaints() -> Iterator[checks.CheckMessage]:
    """Yield what Django's settings lack, and how to fix it."""
    yield from _backend()
    yield from names_outside()
    pages, api = _mount_of_pages(), _mount_of_api()
    if pages is None and api is None:
        yield _unmounted()
        return
    if api is None and _public_url_is_set():
        yield _without_api()
    yield from _urls(pages or api or "")
    if pages is not None:
        yield from _sessions()
        yield from _users()
        yield from _templates()


def log_complaints() -> None:
    """Log the findings that would fail after a message was paid, except for commands that report them.

    After a start-up error `runserver` loads the URLs once more with no app installed: nothing would
    be found then.
    """
    if apps.is_installed("phone_verify_django") and not app_settings.is_lenient():
        for rule in (_backend, _sessions, _users, _templates):
            for message in rule():
                log.error("%s %s", message.msg, message.hint)


def log_names_outside() -> None:
    """Log the settings that are not read, except for commands that report them."""
    if not app_settings.is_lenient():
        for message in names_outside():
            log.warning("%s %s", message.msg, message.hint)


def require_session(request: HttpRequest) -> None:
    """Raise `ImproperlyConfigured` if this request has no session or no user, and the settings are the reason."""
    if hasattr(request, "session") and hasattr(request, "user") and not _table_is_missing():
        return
    for rule in (_sessions, _users):
        for message in rule():
            raise ImproperlyConfigured(f"{message.msg} {message.hint}")


def names_outside() -> Iterator[checks.CheckMessage]:
    """Yield the settings at the top level of Django's settings, where they are not read."""
    try:
        names = app_settings.names_outside()
    except ConfigurationError:  # the doctor reports it
        return
    for name in names:
        key = name.removeprefix("PHONE_VERIFY_").lower()
        yield checks.Warning(
            f"{name} in Django's settings is not read.",
            hint=f"Write PHONE_VERIFY = {{{key!r}: …}}, or set the environment variable {name}.",
            id="phone_verify.W056",
        )


def _backend() -> Iterator[checks.CheckMessage]:
    if backends.backend_path() is None:
        yield checks.Error(
            "Sign-in by phone is impossible: AUTHENTICATION_BACKENDS does not contain our backend.",
            hint="Add 'phone_verify_django.backends.PhoneBackend' to AUTHENTICATION_BACKENDS, "
            "and keep 'django.contrib.auth.backends.ModelBackend' if passwords should work too.",
            id="phone_verify.E001",
        )


def _mount_of_pages() -> str | None:
    """Return the path under which our pages are included, or None."""
    return _reversed("phone_verify:login", "login/")


def _mount_of_api() -> str | None:
    """Return the path under which our API is included, or None."""
    return _reversed("phone_verify_api:api", "v1", path="v1") or _reversed("phone_verify:api", "v1", path="v1")


def _reversed(name: str, end: str, **kwargs: str) -> str | None:
    if not getattr(settings, "ROOT_URLCONF", None):
        return None
    try:
        return reverse(name, kwargs=kwargs).removesuffix(end)
    except NoReverseMatch:
        return None


def _unmounted() -> checks.CheckMessage:
    if _public_url_is_set():
        return _without_api()
    return checks.Warning(
        "The site has no pages and no API for phones: our URLs are not included.",
        hint=_ADD_INCLUDE,
        id="phone_verify.W002",
    )


def _without_api() -> checks.CheckMessage:
    return checks.Error(
        "Providers cannot send webhooks to this site: our URLs are not included.",
        hint=_ADD_INCLUDE,
        id="phone_verify.E002",
    )


def _urls(mount: str) -> Iterator[checks.CheckMessage]:
    if not mount.endswith("/"):
        yield checks.Warning(
            f"Our URLs are included without a slash: the pages are at {mount}login/ and {mount}verify/.",
            hint=f"Write the path with a slash at its end, like {_INCLUDE}.",
            id="phone_verify.W051",
        )
    if _depends_on_language():
        yield checks.Warning(
            "Our API is included within i18n_patterns: its address and that of webhooks change with the language, "
            "and a provider's webhook URL has only one.",
            hint="Add path('phone/', include('phone_verify_django.api_urls')) outside of i18n_patterns(…), and include "
            "'phone_verify_django.page_urls' within.",
            id="phone_verify.W052",
        )


def _depends_on_language() -> bool:
    others = [code for code, _ in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
    if not settings.USE_I18N or not others:
        return False
    paths = set()
    for code in (settings.LANGUAGE_CODE, others[0]):
        with override(code):
            paths.add(_mount_of_api())
    return len(paths) > 1


def _sessions() -> Iterator[checks.CheckMessage]:
    if not _has_middleware(SessionMiddleware):
        yield checks.Warning(
            "Users cannot be signed in: MIDDLEWARE does not contain SessionMiddleware.",
            hint=f"Add {_SESSION!r} to MIDDLEWARE, before {AUTHENTICATION!r}.",
            id="phone_verify.W053",
        )
    elif _table_is_missing():
        yield checks.Warning(
            "Users cannot be signed in: SESSION_ENGINE keeps sessions in the database, and INSTALLED_APPS does not "
            "contain 'django.contrib.sessions'.",
            hint="Add 'django.contrib.sessions' to INSTALLED_APPS, and run: python manage.py migrate",
            id="phone_verify.W053",
        )


def _table_is_missing() -> bool:
    return settings.SESSION_ENGINE in _IN_DATABASE and not apps.is_installed("django.contrib.sessions")


def _users() -> Iterator[checks.CheckMessage]:
    if not _has_middleware(AuthenticationMiddleware):
        yield checks.Warning(
            "Users who have signed in are not recognized: MIDDLEWARE does not contain AuthenticationMiddleware.",
            hint=f"Add {AUTHENTICATION!r} to MIDDLEWARE, after {_SESSION!r}.",
            id="phone_verify.W054",
        )


def _has_middleware(kind: type) -> bool:
    for path in settings.MIDDLEWARE:
        try:
            found = import_string(path)
        except ImportError:  # Django reports it
            continue
        if isinstance(found, type) and issubclass(found, kind):
            return True
    return False


def _templates() -> Iterator[checks.CheckMessage]:
    try:
        get_template(_TEMPLATE)
    except TemplateDoesNotExist:
        yield checks.Warning(
            f"The pages cannot be shown: the site's TEMPLATES do not find {_TEMPLATE}.",
            hint="Set 'APP_DIRS': True in the entry of TEMPLATES whose BACKEND is "
            "'django.template.backends.django.DjangoTemplates'.",
            id="phone_verify.W055",
        )
    except TemplateSyntaxError:  # in a template of the site, and the page reports it
        return


def _public_url_is_set() -> bool:
    try:
        return app_settings.read().public_url is not None
    except (ConfigurationError, ImproperlyConfigured):  # the doctor reports it
        return False
