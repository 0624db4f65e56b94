"""For those who run it: alive, ready, numbers, and the API described (WIRE.md H)."""

from __future__ import annotations

import re

from flask import Blueprint, Response, current_app, jsonify, request

from sora import metrics
from sora.errors import Draining, Overloaded
from sora.web.errors import refusal
from sora.web.openapi import document
from sora.web.service import service

views = Blueprint("operations", __name__)


@views.get("/healthz")
def alive() -> Response:
    return jsonify(status="ok")


@views.get("/readyz")
def ready() -> Response:
    checks = service().engine.health()
    if all(checks.values()):
        return jsonify(ready=True, checks=checks)
    code = Draining.code if service().engine.draining else Overloaded.code
    response = refusal(503, code)
    response.set_data(jsonify(response.get_json() | {"ready": False, "checks": checks}).get_data())
    return response


@views.get("/metrics")
def numbers() -> Response:
    body, content_type = metrics.render()
    return Response(body, content_type=content_type)


@views.get("/openapi.json")
def openapi() -> Response:
    ours = {
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for rule in current_app.url_map.iter_rules()
        if rule.endpoint.startswith("sora.")
    }
    prefix = service().url_prefix
    return jsonify(document(lambda path: prefix + path in ours, server=request.script_root + prefix))
