"""Somebody else's application: notes in a database of its own, a login, error pages, and hooks that wrap every response.

`notes.create_app()` is the application as it was; `create_host()` takes Sora in.
"""

from __future__ import annotations

from tests.support.host.app import URL_PREFIX, create_host, sora

__all__ = ["URL_PREFIX", "create_host", "sora"]
