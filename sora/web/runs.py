"""Runs as such: started, listed, read, cancelled, tried again, deleted (WIRE.md F)."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, url_for

from sora.store.moment import in_utc
from sora.store.runs import FINAL, UNFINISHED, Run
from sora.web import streams
from sora.web.errors import run_error
from sora.web.fields import body, idempotency_key, own_id, query
from sora.web.orders import of_kind
from sora.web.paging import first, page
from sora.web.service import locale, principal, service

views = Blueprint("runs", __name__)
_STATUSES = {status: status for status in (*UNFINISHED, *FINAL)}


@views.post("/api/runs")
def start_run() -> tuple[Response, int, dict[str, str]]:
    run, created = service().engine.begin(of_kind(principal(), body()))
    return (
        jsonify(shape(run)),
        201 if created else 200,
        {"Location": url_for("sora.runs.show_run", run_id=run.id)},
    )


@views.get("/api/runs")
def list_runs() -> Response:
    owner, fields = principal().id, query()
    status = fields.choice("status", _STATUSES, default="")
    limit = fields.integer("limit", low=1, high=100, default=20)
    before = fields.identifier("before")
    fields.check()
    runs = service().engine.list(owner, status=status or None, limit=limit + 1, before=before)
    shown, last = first(runs, limit)
    return jsonify(page([shape(run) for run in shown], last and last.id))


@views.get("/api/runs/<run_id>")
def show_run(run_id: str) -> Response:
    owner = principal().id
    run = service().engine.get(own_id(run_id), owner=owner)
    return jsonify(shape(run) | {"text": service().engine.text(run)})


@views.get("/api/runs/<run_id>/events")
def run_events(run_id: str) -> Response:
    who = principal()
    how, at = streams.options(format="native", ids=True), streams.position()
    run = service().engine.get(own_id(run_id), owner=who.id)
    return streams.attach(run, how, at, principal=who)


@views.post("/api/runs/<run_id>/cancel")
def cancel_run(run_id: str) -> Response:
    owner = principal().id
    return jsonify(shape(service().engine.cancel(own_id(run_id), owner=owner)))


@views.post("/api/runs/<run_id>/retry")
def retry_run(run_id: str) -> tuple[Response, int]:
    owner = principal().id
    run = service().engine.retry(own_id(run_id), owner=owner, idempotency_key=idempotency_key())
    return jsonify(shape(run)), 201


@views.delete("/api/runs/<run_id>")
def delete_run(run_id: str) -> Response:
    owner = principal().id
    service().engine.delete(own_id(run_id), owner=owner)
    return Response(status=204)


def shape(run: Run) -> dict[str, object]:
    """A run as the API tells of it, without its text."""
    usage = run.usage
    failed = run.status in ("failed", "interrupted") and run.error_code is not None
    return {
        "id": run.id,
        "kind": run.kind,
        "status": run.status,
        "finish_reason": run.finish_reason,
        "error": run_error(run.error_code or "", locale=locale()) if failed else None,
        "usage": {"input": usage.input_tokens, "output": usage.output_tokens, "total": usage.total_tokens}
        if usage
        else None,
        "model": run.model,
        "created_at": in_utc(run.created_at).isoformat(),
        "ended_at": in_utc(run.ended_at).isoformat() if run.ended_at else None,
        "retry_of": run.retry_of,
        "events_url": url_for("sora.runs.run_events", run_id=run.id),
    }
