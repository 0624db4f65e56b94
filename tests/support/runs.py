"""Runs as they are before anything has happened to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sora.store.runs import Run, new_id, now


def a_run(owner: str = "보라", **changes: Any) -> Run:
    """A run of the worker w1 that has just begun; its request is not sealed unless the caller's is."""
    run = Run(
        id=new_id(),
        owner=owner,
        kind="review",
        status="running",
        worker="w1",
        epoch=1,
        locale="ko",
        on_disconnect="continue",
        request=b"",
        request_mac=b"",
        idempotency_key=None,
        retry_of=None,
        cancel_requested=False,
        created_at=now(),
    )
    return replace(run, **changes)
