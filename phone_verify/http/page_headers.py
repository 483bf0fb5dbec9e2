"""The headers that protect the pages: what they may load, and who may show them in a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .site import Site

#: Everything that the pages load comes from the site itself; the picture of a number to call is a data URL.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action {}; base-uri 'none'; frame-ancestors {}"
)
#: The older header, by the ancestors that it can express.
_FRAME_OPTIONS = {"'none'": "DENY", "'self'": "SAMEORIGIN"}


def page_headers(site: Site, elsewhere: Iterable[str] = ()) -> Mapping[str, str]:
    """Return the headers of a page, a redirect or an error below the mount; a header that is set already stays.

    `elsewhere` are origins that a form may lead to besides the page's own: browsers apply `form-action` to the
    redirect that answers a form. X-Frame-Options is left out where it cannot express the site's frame ancestors.
    """
    ancestors = " ".join(site.frame_ancestors) or "'none'"
    headers = {
        "Content-Security-Policy": _POLICY.format(" ".join(["'self'", *sorted(set(elsewhere))]), ancestors),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
    }
    if ancestors in _FRAME_OPTIONS:
        headers["X-Frame-Options"] = _FRAME_OPTIONS[ancestors]
    return headers
