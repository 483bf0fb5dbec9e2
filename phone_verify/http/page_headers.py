"""Security headers of the pages: what they may load, and which sites may frame them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .site import Site

#: Everything that the pages load comes from the site itself; the QR code of a number to call is a
#: data URL. The site's settings may add hosts for its logo and its font.
_POLICY = (
    "default-src 'none'; script-src 'self'{widget}; style-src 'self'{widget}; img-src 'self' data:{img_src}; "
    "connect-src 'self'{widget}; {frame_src}{font_src}form-action {form_action}; "
    "base-uri 'none'; frame-ancestors {ancestors}"
)


def page_headers(site: Site, elsewhere: Iterable[str] = ()) -> Mapping[str, str]:
    """Return the headers of a page, a redirect or an error below the mount.

    The adapter keeps headers that are already set. `elsewhere` are further origins that a form may
    lead to: browsers apply `form-action` to the redirect that follows a form. X-Frame-Options, the
    older header, cannot name other sites. Browsers ignore it if `frame-ancestors` is present; it counts if
    the site's own policy replaces ours and has no such directive.
    """
    ancestors = " ".join(site.frame_ancestors) or "'none'"
    sources = site.brand.sources
    widget = "".join(f" {source}" for source in site.captcha_sources)
    policy = _POLICY.format(
        widget=widget,
        frame_src=f"frame-src{widget}; " if widget else "",
        img_src=sources["img-src"],
        font_src=f"font-src {sources['font-src']}; " if sources["font-src"] else "",
        form_action=" ".join(["'self'", *sorted(set(elsewhere))]),
        ancestors=ancestors,
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "X-Frame-Options": "SAMEORIGIN" if "'self'" in site.frame_ancestors else "DENY",
    }
