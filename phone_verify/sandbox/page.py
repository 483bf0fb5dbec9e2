"""The page with the handsets, alone or next to the site under test, and the page about the test
API.
"""

import html
import json
import re
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
from phone_verify.sandbox.protocols import PROVIDERS
from phone_verify.sandbox.state import SandboxState

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


#: One call in the documentation of the test API: method, path, and a text that may continue in
#: further lines.
_API_CALL = re.compile(r"^    ([A-Z]+) +(/\S+) +(.+(?:\n {20,}.+)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PageRoute:
    """One URL that a browser may open."""

    path: str
    handler: Callable[[SandboxState, Request], Response]
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class Site:
    """A site shown next to the handsets."""

    name: str
    origin: str
    url: str


def handsets(sandbox: SandboxState, request: Request) -> Response:
    """The handsets alone."""
    return _page("handsets.html", sites="", tour="", layout="alone", title="Handsets")


def demo(sandbox: SandboxState, request: Request) -> Response:
    """Redirect to the sites of the demo next to the handsets: a short URL to type."""
    if not sandbox.demo:
        raise Problem(HTTPStatus.NOT_FOUND, "no demo is running here")
    return _harden(Response(status=HTTPStatus.FOUND, headers={"Location": sandbox.demo}))


def beside(sandbox: SandboxState, request: Request) -> Response:
    """The handsets next to one or two sites on this machine: `site`, `site2`, and their names
    `name`, `name2`. With `tour=1` three steps explain what to do.
    """
    sites = [site for number in ("", "2") if (site := _site(request, number))]
    if not sites:
        raise Problem(HTTPStatus.BAD_REQUEST, "missing parameter `site`, e.g. ?site=http://127.0.0.1:8000/")
    return _page(
        "handsets.html",
        sites=_frames(sites),
        tour=_read("tour.html") if request.args.get("tour") == "1" else "",
        layout="beside",
        title="Handsets next to the site",
        frame_sources=[site.origin for site in sites],
    )


def about_api(sandbox: SandboxState, request: Request) -> Response:
    """The documentation of the test API."""
    intro, calls, notes = (api.__doc__ or "").strip().split("\n\n")
    return _page(
        "api.html",
        intro=_marked(intro),
        calls="".join(
            f"<dt><b>{method}</b> <code>{html.escape(path)}</code></dt><dd>{_marked(text)}</dd>"
            for method, path, text in _API_CALL.findall(calls)
        ),
        notes=_marked(notes),
        keys="".join(
            f"<dt>{html.escape(provider.title)}: {name.replace('_', ' ')}</dt><dd><code>{html.escape(key)}</code></dd>"
            for provider in PROVIDERS.values()
            for name, key in provider.keys.items()
        ),
        address=html.escape(request.host_url.rstrip("/")),
    )


def problem_page(problem: Problem) -> Response:
    """Return a problem as a page, for a browser."""
    detail = problem.detail[:1].upper() + problem.detail[1:].rstrip(".") + "."
    if problem.detail == "not found":  # the title says so already
        detail = "There is nothing at this address."
    response = _page("problem.html", title=html.escape(problem.status.phrase), detail=_marked(detail))
    response.status_code = problem.status
    if allow := problem.answer.headers.get("Allow"):
        response.headers["Allow"] = allow
    return response


def style(sandbox: SandboxState, request: Request) -> Response:
    """The style sheet."""
    return _static("sandbox.css", "text/css")


def script(sandbox: SandboxState, request: Request) -> Response:
    """The script."""
    return _static("sandbox.js", "text/javascript")


def calls_script(sandbox: SandboxState, request: Request) -> Response:
    """The script of the calls."""
    return _static("calls.js", "text/javascript")


def requests_script(sandbox: SandboxState, request: Request) -> Response:
    """The script of the requests."""
    return _static("requests.js", "text/javascript")


def tour_script(sandbox: SandboxState, request: Request) -> Response:
    """The script of the tour."""
    return _static("tour.js", "text/javascript")


def icon(sandbox: SandboxState, request: Request) -> Response:
    """The icon of the page."""
    return _static("icon.svg", "image/svg+xml")


ROUTES = (
    PageRoute("/", handsets),
    PageRoute("/beside", beside),
    PageRoute("/demo", demo),
    PageRoute("/api/", about_api),
    PageRoute("/static/sandbox.css", style),
    PageRoute("/static/sandbox.js", script),
    PageRoute("/static/calls.js", calls_script),
    PageRoute("/static/requests.js", requests_script),
    PageRoute("/static/tour.js", tour_script),
    PageRoute("/static/icon.svg", icon),
    PageRoute("/favicon.ico", icon),
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


def _marked(text: str) -> str:
    """Return a text as HTML: escaped, in one line, with `code` marked as such."""
    joined = " ".join(html.escape(text, quote=False).split())
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", joined)


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
