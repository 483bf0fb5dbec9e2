"""The page with the handsets, alone or next to the site under test, and the page about the test
API.
"""

import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from string import Template

from werkzeug.wrappers import Request, Response

from phone_verify.sandbox import api
from phone_verify.sandbox.guard import local_site
from phone_verify.sandbox.problem import Problem

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class PageRoute:
    """One URL that a browser may open."""

    path: str
    handler: Callable[[Request], Response]
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class Site:
    """A site shown next to the handsets."""

    name: str
    origin: str
    url: str


def handsets(request: Request) -> Response:
    """The handsets alone."""
    return _page("handsets.html", sites="", layout="alone", title="Handsets")


def beside(request: Request) -> Response:
    """The handsets next to one or two sites on this machine: `site`, `site2`, and their names
    `name`, `name2`.
    """
    sites = [site for number in ("", "2") if (site := _site(request, number))]
    if not sites:
        raise Problem(HTTPStatus.BAD_REQUEST, "missing parameter `site`, e.g. ?site=http://127.0.0.1:8000/")
    return _page(
        "handsets.html",
        sites=_frames(sites),
        layout="beside",
        title="Handsets next to the site",
        frame_sources=[site.origin for site in sites],
    )


def about_api(request: Request) -> Response:
    """The documentation of the test API."""
    text = html.escape((api.__doc__ or "").strip())
    return _page("api.html", text=text, address=html.escape(request.host_url.rstrip("/")))


def style(request: Request) -> Response:
    """The style sheet."""
    return _static("sandbox.css", "text/css")


def script(request: Request) -> Response:
    """The script."""
    return _static("sandbox.js", "text/javascript")


def icon(request: Request) -> Response:
    """The icon of the page."""
    return _static("icon.svg", "image/svg+xml")


ROUTES = (
    PageRoute("/", handsets),
    PageRoute("/beside", beside),
    PageRoute("/api/", about_api),
    PageRoute("/static/sandbox.css", style),
    PageRoute("/static/sandbox.js", script),
    PageRoute("/static/icon.svg", icon),
)


def _site(request: Request, number: str) -> Site | None:
    url = request.args.get(f"site{number}")
    if not url:
        return None
    local = local_site(url)
    if local is None:
        raise Problem(HTTPStatus.BAD_REQUEST, "`site` must be plain http on this machine")
    origin, address = local
    return Site(request.args.get(f"name{number}", "")[:40] or origin.removeprefix("http://"), origin, address)


def _frames(sites: Sequence[Site]) -> str:
    tabs = [
        f'<button type="button" role="tab" id="site-tab-{number}" aria-controls="site-{number}"'
        f' aria-selected="{json.dumps(number == 0)}">{html.escape(site.name)}</button>'
        for number, site in enumerate(sites)
    ]
    frames = [
        f'<div class="site" role="tabpanel" id="site-{number}" aria-labelledby="site-tab-{number}"'
        f"{' hidden' if number else ''}>"
        f'<iframe title="{html.escape(site.name)}" src="{html.escape(site.url)}"></iframe></div>'
        for number, site in enumerate(sites)
    ]
    return (
        '<section class="sites" aria-label="The site">'
        f'<div class="site-bar"><div class="tabs" role="tablist" aria-label="Sites">{"".join(tabs)}</div>'
        '<a id="site-alone" target="_blank" rel="noopener">Open in new tab</a></div>'
        f"{''.join(frames)}</section>"
    )


def _page(name: str, *, frame_sources: Sequence[str] = (), **values: str) -> Response:
    response = Response(Template(_read(name)).substitute(values), mimetype="text/html")
    policy = f"{_POLICY}; frame-src {' '.join(frame_sources)}" if frame_sources else _POLICY
    response.headers["Content-Security-Policy"] = policy
    return _harden(response)


def _static(name: str, mimetype: str) -> Response:
    return _harden(Response(_read(name), mimetype=mimetype))


def _harden(response: Response) -> Response:
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-cache"
    return response


@cache
def _read(name: str) -> str:
    return files("phone_verify.sandbox").joinpath("static", name).read_text("utf-8")
