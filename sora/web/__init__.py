"""HTTP: views that parse, authorise, call the engine and answer. What they share is in `service`."""

from __future__ import annotations
