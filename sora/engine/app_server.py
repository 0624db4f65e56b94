"""The app server that finished reviews are posted to (WIRE.md A)."""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import re
import ssl
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import httpx2

from sora.config import Config
from sora.errors import ConfigError
from sora.store.outbox import Letter

#: Makes an access token: (owner, name, role) -> token.
Mint = Callable[[str, str, str], str]

_AGAIN = (408, 425, 429)  # the client errors that a later request may not meet (RFC 9110, 8470, 6585)
_MAX_RETRY_AFTER = 300.0  # seconds
_MAX_BODY = 65_536  # bytes of an answer that are read so that its connection can be used again


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a delivery: delivered, retry (it may go better later) or dead (it never will).

    `answer` is a status or the name of an error, no content; `retry_after` what the app server asked for, in seconds.
    """

    what: str
    answer: str
    retry_after: float = 0.0


class AppServer:
    """Posts letters, each with the same Idempotency-Key whenever it is posted: one row at a receiver that honours it.

    `mint` makes the token for the letter's user; None: we hold no secret, and SORA_APP_SERVER_TOKEN goes with every letter,
    with the user's id in X-Sora-Owner (percent-encoded UTF-8). From any thread; make one per process. HTTP_PROXY,
    HTTPS_PROXY and NO_PROXY are honoured, redirects are not followed. Raises ConfigError for settings that cannot be used.
    """

    def __init__(self, config: Config, *, mint: Mint | None) -> None:
        try:
            url = httpx2.URL(config.app_server_url)
        except httpx2.InvalidURL:
            url = httpx2.URL("")
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise ConfigError(
                "SORA_APP_SERVER_URL must be http(s)://host/path, without a user and a password"
            )
        if not re.fullmatch(r"[!-~]*", config.app_server_token):
            raise ConfigError("SORA_APP_SERVER_TOKEN must be visible ASCII characters")
        self._url = url
        self._token = config.app_server_token
        self._timeout = config.app_server_timeout
        self._mint = mint
        # A context of our own: httpx2's trust store recurses without end under gevent outside Linux.
        self._client = httpx2.Client(timeout=self._timeout, verify=ssl.create_default_context())
        weakref.finalize(self, self._client.close)

    def deliver(self, key: str, owner: str, letter: Letter) -> Outcome:
        """Post one letter. Blocks for the connection, the sending and each read of the answer SORA_APP_SERVER_TIMEOUT at most."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        if self._mint is not None:
            headers["Authorization"] = f"Bearer {self._mint(owner, letter.name, letter.role)}"
        else:
            headers |= {"Authorization": f"Bearer {self._token}", "X-Sora-Owner": quote(owner, safe="")}
        try:
            with self._client.stream(
                "POST", self._url, content=bytes(letter.content), headers=headers
            ) as response:
                self._drain(response)
                return _outcome(response)
        except httpx2.HTTPError as error:
            return Outcome("retry", type(error).__name__)  # its message may hold an address

    def _drain(self, response: httpx2.Response) -> None:
        """Read a short answer to its end, so that the connection can be used again. The status has said what there is to say."""
        ends, size = time.monotonic() + self._timeout, 0
        with contextlib.suppress(httpx2.HTTPError):
            for block in response.iter_raw():
                size += len(block)
                if size > _MAX_BODY or time.monotonic() > ends:
                    return


def _outcome(response: httpx2.Response) -> Outcome:
    status = response.status_code
    if response.is_success:
        return Outcome("delivered", str(status))
    if response.is_client_error and status not in _AGAIN:
        return Outcome("dead", str(status))
    return Outcome("retry", str(status), _retry_after(response.headers.get("Retry-After", "")))


def _retry_after(text: str) -> float:
    """Retry-After in seconds (RFC 9110, 10.2.3), bounded; 0 for none that can be read."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), _MAX_RETRY_AFTER)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        seconds = (moment - dt.datetime.now(dt.UTC)).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), _MAX_RETRY_AFTER)
