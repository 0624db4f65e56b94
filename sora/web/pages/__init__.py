"""The pages: the app of `frontend/`, where that was built, else a simple page that stands in for it; and one for the API.

They need nothing from elsewhere, and their Content-Security-Policy lets them have nothing from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from importlib import resources
from pathlib import Path

from flask import Blueprint, Response, redirect, send_from_directory, url_for

from sora.config import Config
from sora.errors import NotFound
from sora.web.service import service

views = Blueprint("pages", __name__)
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)
_CHECKOUT = Path(__file__).parents[3] / "frontend" / "dist"
#: What not every system's table of types knows.
_TYPES = {".js": "text/javascript", ".woff2": "font/woff2", ".webmanifest": "application/manifest+json"}
#: Files under assets/ have the hash of what they hold in their names.
_FOR_GOOD = "public, max-age=31536000, immutable"


def built(config: Config) -> Path | None:
    """The folder of the built app: SORA_FRONTEND, else the checkout's own; None when it was not built."""
    folder = Path(config.frontend).resolve() if config.frontend else _CHECKOUT
    return folder if (folder / "index.html").is_file() else None


@views.get("/")
def root() -> Response:
    response = redirect(url_for("sora.pages.app"))
    assert isinstance(response, Response)
    return response


@views.get("/app/")
def app() -> Response:
    folder = built(service().config)
    if folder is None:
        return _page(_text("diary.html"), "connect-src 'self'; img-src data:")
    return _page(_placed((folder / "index.html").read_text("utf-8")), _APP_POLICY)


@views.get("/app/<path:name>")
def part(name: str) -> Response:
    """A file of the app, or the app itself, which knows the pages it has."""
    folder = built(service().config)
    last = name.rpartition("/")[2]
    if folder is None or name.startswith("."):
        raise NotFound
    if "." not in last:
        return app()
    response = send_from_directory(folder, name, mimetype=_TYPES.get(Path(last).suffix))
    response.headers["Cache-Control"] = _FOR_GOOD if name.startswith("assets/") else "no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@views.get("/app/api")
def api() -> Response:
    return _page(_text("api.html"), "connect-src 'self'; img-src data:")


# The app's own files, and pictures that an answer refers to. KaTeX's formulas are parsed as HTML with style attributes; scripts
# and style sheets in the page stay forbidden.
_APP_POLICY = (
    "style-src-attr 'unsafe-inline'; connect-src 'self'; font-src 'self'; img-src 'self' https: data: blob:; "
    "manifest-src 'self'"
)


def _placed(text: str) -> str:
    """The app's index.html, told where it is: its files and Sora's API under our prefix, the login where it belongs."""
    prefix = url_for("sora.pages.app").removesuffix("/app/")
    told = {"sora-prefix": prefix, "sora-login": service().config.login_url}
    for name, value in told.items():
        text = text.replace(
            f'<meta name="{name}" content=""', f'<meta name="{name}" content="{html.escape(value)}"'
        )
    return text.replace('="./', f'="{prefix}/app/')


def _text(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8")


def _page(text: str, policy: str) -> Response:
    """A page that may run its own files and what is written in it, have what `policy` says, and nothing else."""
    allowed: dict[str, list[str]] = {"script": ["'self'"], "style": ["'self'"]}
    for kind, inline in _INLINE.findall(text):
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        allowed[kind].append(f"'sha256-{digest}'")
    whole = (
        f"default-src 'none'; script-src {' '.join(allowed['script'])}; style-src {' '.join(allowed['style'])}; "
        f"{policy}; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": whole, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }  # fmt: skip
    return Response(text, mimetype="text/html", headers=headers)
