"""The configured site as adapters see it: finished objects, made once at start-up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..phone.formats import served_regions
from ..purposes import DEFAULT_SERVICE, Purposes
from ..verifier.blocking import Verifier
from ..verifier.operations import AsyncVerifier
from ..work.background import Background
from .brand import Brand
from .proxies import Proxies
from .streams import OpenStreams

if TYPE_CHECKING:
    from ..services.catalog import Services
    from ..webhooks_out.delivery import Deliverer


def _no_async_verifier() -> AsyncVerifier:
    raise ConfigurationError("this site has no async verifier: pass one as `make_async_verifier`")


@dataclass(frozen=True, slots=True)
class Site:
    """A verifier, and the parts of the configuration that the web layer needs."""

    verifier: Verifier
    name: str = ""
    #: `https://site.example`, or None: never taken from a request.
    public_url: str | None = None
    #: The same site under its other hosts, as in the header `Host`: their messages name that host.
    others: Mapping[str, Site] = field(default_factory=dict, repr=False)
    #: Accepted in webhook URLs; the first is used in new URLs.
    webhook_secrets: Sequence[str] = field(default=(), repr=False)
    #: Other origins whose pages and apps may call the API for a visitor, as browsers send them.
    trusted_origins: Collection[str] = ()
    #: How the client's address is found.
    proxies: Proxies = field(default_factory=Proxies)
    #: The purposes for which a client may start a verification.
    purposes: Purposes = field(default_factory=Purposes)
    #: Whether a code sent to the phone alone signs in users with rights over other users
    #: (`phone_verify.staff`).
    staff_sign_in_by_phone: bool = False
    #: Whether an old number gets an SMS when it is changed.
    notify_old_number: bool = False
    #: Names of the roles that give such rights, if the framework's users have roles.
    staff_roles: Sequence[str] = ()
    #: Sites that may show the pages in a frame, as sources of a Content-Security-Policy; empty:
    #: none.
    frame_ancestors: Sequence[str] = ()
    #: What the pages may load for the widget of a captcha, as sources of that policy.
    captcha_sources: Sequence[str] = ()
    #: The site's own links and looks on the pages.
    brand: Brand = field(default_factory=Brand)
    #: How long after the last order the code page offers the next channel first; 0: never.
    next_channel_after: timedelta = timedelta(0)
    #: Whether the code page's script then sends on that channel without a press.
    next_channel_sends_by_itself: bool = False
    #: Whether the login page of a trusted device offers to continue with the number used last.
    offer_last_number: bool = True
    #: The services; None if the site has only its own, and loads nothing of others.
    services: Services | None = field(default=None, repr=False)
    #: The service of the pages, and of calls to the API that name none.
    service: str = DEFAULT_SERVICE
    #: The bearer token of the endpoint for Prometheus; empty: there is no endpoint.
    metrics_token: str = field(default="", repr=False)
    #: Delivers the webhooks of services; None without a ledger, whose database has their messages.
    deliverer: Deliverer | None = field(default=None, repr=False)
    #: What is done outside of requests.
    background: Background = field(default_factory=Background, repr=False)
    #: The event streams that this process has open.
    streams: OpenStreams = field(default_factory=OpenStreams, repr=False)
    #: Called when a request shows that the site runs in several processes; a store of one process
    #: then refuses.
    warn_multiprocess: Callable[[], None] = field(default=lambda: None, repr=False)
    #: Makes the async verifier on first use, so that a blocking site does not pay for it.
    make_async_verifier: Callable[[], AsyncVerifier] = field(default=_no_async_verifier, repr=False)

    def at(self, host: str) -> Site:
        """Return the site whose messages name this host of a request, if the settings list it; otherwise this one."""
        return self.others.get(host.lower(), self)

    @property
    def async_verifier(self) -> AsyncVerifier:
        """The async verifier, over the same records and counters.

        Raises `ConfigurationError` if the extra `async` is not installed.
        """
        return self.make_async_verifier()

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions whose numbers the site allows and a driver reaches, in alphabetical order."""
        return served_regions(self.verifier.policy.allowed_regions, self.verifier.flows.router.calling_codes)

    @property
    def secure_cookies(self) -> bool:
        """Whether cookies are for https only, regardless of the request's scheme."""
        return self.public_url is not None and self.public_url.startswith("https://")
