"""Every refusal and failure before the first byte, as WIRE.md's JSON, in the language of the request."""

from __future__ import annotations

import logging
import math
import traceback

from flask import Blueprint, Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from sora import errors, metrics
from sora.errors import RequestError, RunError, SoraError, StoreError, message
from sora.web import streams
from sora.web.service import locale

_log = logging.getLogger(__name__)
_RETRY_AFTER = 5.0
_BY_STATUS: dict[int, type[RequestError]] = {
    cls.status: cls
    for cls in (
        errors.InvalidRequest, errors.Unauthorized, errors.Forbidden, errors.NotFound, errors.MethodNotAllowed,
        errors.Conflict, errors.TooLarge, errors.UnsupportedMedia, errors.RateLimited, errors.Overloaded,
    )
}  # fmt: skip


def handle(scope: Flask | Blueprint) -> None:
    """Answer the errors of `scope`: an application's, or those of our own views in somebody else's application."""
    scope.register_error_handler(HTTPException, _http)
    scope.register_error_handler(SoraError, answer)
    scope.register_error_handler(Exception, _unexpected)


def refusal(status: int, code: str, *, reason: str = "", details: errors.Details = ()) -> Response:
    """The JSON of an error."""
    metrics.errors.labels(code).inc()
    body: dict[str, object] = {"success": False, "error": message(reason or code, locale()), "code": code}
    if details:
        body["details"] = list(details)
    response = jsonify(body)
    response.status_code = status
    return response


def run_error(code: str, *, locale: str) -> dict[str, object]:
    """What a run that failed says of it: `{code, message, retryable}`."""
    kinds = {cls.code: cls.retryable for cls in RunError.__subclasses__()}
    return {"code": code, "message": message(code, locale), "retryable": kinds.get(code, False)}


def answer(error: SoraError) -> Response:
    """What a view of ours, or one that streams through us, raised."""
    if isinstance(error, StoreError):
        _log.error("the database did not answer %s: %s", request.endpoint, error)
    elif not isinstance(error, RequestError):
        return _unexpected(error)
    wait = (getattr(error, "retry_after", None) or _RETRY_AFTER) if error.retryable else None
    if wait is not None and streams.by_event_source():
        metrics.errors.labels(error.code).inc()
        return streams.busy(error.code, wait=wait)
    reason = getattr(error, "reason", "")
    details = error.told(locale()) if isinstance(error, RequestError) else ()
    response = refusal(error.status, error.code, reason=reason, details=details)
    if wait is not None:
        response.headers["Retry-After"] = str(math.ceil(wait))
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _http(error: HTTPException) -> Response | HTTPException:
    status = error.code or 500
    if status < 400:
        return error  # a redirect
    if status >= 500 and status != 503:
        return refusal(status, errors.Internal.code)
    response = refusal(status, _BY_STATUS.get(status, errors.InvalidRequest).code)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    # An exception's own words may hold what the request said; where it came from does not.
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("%s in %s\n%s", type(error).__name__, request.endpoint, where)
    return refusal(500, errors.Internal.code)
