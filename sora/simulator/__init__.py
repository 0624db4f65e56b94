"""An OpenAI-compatible server without a key or a network, that fails on request. See docs/simulator.md."""

from __future__ import annotations

from sora.simulator.app import create_app
from sora.simulator.server import serve

__all__ = ["create_app", "serve"]
