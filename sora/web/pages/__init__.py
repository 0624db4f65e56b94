"""The pages, one self-contained file each: no CDN, no other file."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources

from flask import Blueprint, Response, redirect, url_for

views = Blueprint("pages", __name__)
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


@views.get("/")
def root() -> Response:
    response = redirect(url_for("sora.pages.diary"))
    assert isinstance(response, Response)
    return response


@views.get("/app/")
def diary() -> Response:
    return _page("diary.html")


@views.get("/app/api")
def api() -> Response:
    return _page("api.html")


def _page(name: str) -> Response:
    """A page that may run what is written in it, and talk to us, and nothing else."""
    text = resources.files(__name__).joinpath(name).read_text("utf-8")
    allowed: dict[str, list[str]] = {"script": [], "style": []}
    for kind, inline in _INLINE.findall(text):
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        allowed[kind].append(f"'sha256-{digest}'")
    policy = (
        f"default-src 'none'; script-src {' '.join(allowed['script'])}; style-src {' '.join(allowed['style'])}; "
        "connect-src 'self'; img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }  # fmt: skip
    return Response(text, mimetype="text/html", headers=headers)
