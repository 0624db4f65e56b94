"""Sora streams LLM answers to browsers from Flask over Server-Sent Events; the answer outlives the connection.

Nothing heavy is imported here: gunicorn loads `sora.serving`, which must patch the standard library for gevent
before anything else is imported, and importing a submodule imports this package first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sora.app import Sora, create_app
    from sora.web.auth import Principal

__version__ = "0.1.0"
__all__ = ["Principal", "Sora", "create_app"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "Principal":
        from sora.web.auth import Principal

        return Principal
    from sora import app

    return getattr(app, name)
