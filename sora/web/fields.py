"""What a request says, read strictly: every problem is collected and told with the name of its field."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from sora.errors import InvalidRequest, NotFound, TooLarge, UnsupportedMedia, message
from sora.web.query import values
from sora.web.service import locale, service

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ID = re.compile(r"[0-9A-Za-z]{1,64}")
_INTEGER = re.compile(r"[0-9]{1,9}")
_DECIMAL = re.compile(r"[-+]?[0-9]{1,9}(?:\.[0-9]{0,9})?")
_FLAGS = {
    "": False,
    "false": False,
    "0": False,
    "off": False,
    "no": False,
    "true": True,
    "1": True,
    "on": True,
    "yes": True,
}
_KEY = re.compile(r"[!-~]{1,255}")
_LONGEST_NAME = 128
_UNUSABLE = re.compile("[\0\ud800-\udfff]")  # no database and no UTF-8 holds these


class Fields:
    """Reads values by name. A value that cannot be used is noted and stands as empty; `check` raises if any was.

    `into` gives the fields of an object inside, whose problems are noted here under `name.field`.
    """

    def __init__(
        self, values: Mapping[str, Any], *, prefix: str = "", details: list[dict[str, str]] | None = None
    ) -> None:
        self._values = values
        self._prefix = prefix
        self._details: list[dict[str, str]] = [] if details is None else details

    def problem(self, name: str, key: str, **values: object) -> None:
        """Note what is wrong with a field; `key` is one of `sora.errors.MESSAGES`."""
        self._details.append({"field": self._prefix + name, "message": message(key, locale(), **values)})

    def none(self, name: str, key: str) -> None:
        """Note it where a field is there that cannot be taken, unless that is noted already. An empty one is not there."""
        told = any(one["field"] == self._prefix + name for one in self._details)
        if self._values.get(name) not in (None, "", [], {}) and not told:
            self.problem(name, key)

    def check(self) -> None:
        """Raises InvalidRequest when a problem was noted."""
        if self._details:
            raise InvalidRequest(details=self._details)

    def into(self, name: str) -> Fields:
        """The object under `name`."""
        value = self._values.get(name)
        if not isinstance(value, Mapping):
            self.problem(name, "field_required" if value is None else "field_object")
            value = None
        # Without the object its fields would only repeat what is wrong.
        inner_details = self._details if value is not None else []
        return Fields(value or {}, prefix=f"{self._prefix}{name}.", details=inner_details)

    def object(self, name: str, *, only: Collection[str]) -> Fields:
        """The object under `name`, which a query spells as JSON, with no other fields than these; an empty one where there is
        none."""
        value = self._spelled(name)
        if value is not None and not isinstance(value, Mapping):
            self.problem(name, "field_object")
            value = None
        inside = Fields(value or {}, prefix=f"{self._prefix}{name}.", details=self._details)
        for unknown in inside._values:
            if unknown not in only:
                inside.problem(unknown[:_LONGEST_NAME], "field_unknown")
        return inside

    def has(self, name: str) -> bool:
        """Whether there is anything under `name`."""
        return self._values.get(name) not in (None, "")

    def text(
        self, name: str, *, longest: int | None = None, blank: bool = False, default: str | None = None
    ) -> str:
        """A text of at most `longest` characters; with something in it, unless it may be `blank`."""
        value = self._values.get(name, default)
        if value is None:
            self.problem(name, "field_required")
        elif not isinstance(value, str):
            self.problem(name, "field_text")
        elif _UNUSABLE.search(value):
            self.problem(name, "field_characters")
        elif not blank and not value.strip():
            self.problem(name, "field_empty")
        elif longest is not None and len(value) > longest:
            self.problem(name, "field_long")
        else:
            return value
        return ""

    def choice(self, name: str, choices: Mapping[str, str], *, default: str | None = None) -> str:
        """What `choices` maps the value to; `default` where there is none."""
        value = self._values.get(name)
        if value is None and default is not None:
            return default
        if value is None:
            self.problem(name, "field_required")
        elif not isinstance(value, str) or value not in choices:
            self.problem(name, "field_choice", choices=", ".join(choices))
        else:
            return choices[value]
        return ""

    def identifier(self, name: str) -> str | None:
        """An id as ours are; None where there is none."""
        value = self._values.get(name)
        if value is not None and not _ID.fullmatch(value):
            self.problem(name, "field_unknown")
            return None
        return value

    def name(self, name: str) -> str:
        """What a client calls something, fit to stand in a path; empty where there is none."""
        value = self.text(name, blank=True, default="")
        if value and not _named(value):
            self.problem(name, "field_name")
            return ""
        return value

    def objects(self, name: str, *, most: int) -> list[Fields]:
        """The objects of the list under `name`, which a query spells as JSON; none where there is no list."""
        value = self._spelled(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.problem(name, "field_list")
            return []
        if len(value) > most:
            self.problem(name, "field_many", high=most)
            return []
        whole = {f"{name}[{number}]": one for number, one in enumerate(value)}
        inside = Fields(whole, prefix=self._prefix, details=self._details)
        return [inside.into(one) for one in whole]

    def date(self, name: str) -> dt.date:
        """A date of the calendar, YYYY-MM-DD."""
        value = self._values.get(name)
        found = parse_date(value) if isinstance(value, str) else None
        if found is None:
            self.problem(name, "field_required" if value is None else "field_date")
        return found or dt.date.min

    def integer(self, name: str, *, low: int, high: int, default: int | None = None) -> int:
        """A whole number between `low` and `high`, as a query spells it; `default` where there is none."""
        value = self._values.get(name)
        if value is None and default is not None:
            return default
        if value is None:
            self.problem(name, "field_required")
        elif not _INTEGER.fullmatch(value):
            self.problem(name, "field_number")
        elif not low <= int(value) <= high:
            self.problem(name, "field_range", low=low, high=high)
        else:
            return int(value)
        return low

    def number(self, name: str, *, low: float, high: float, whole: bool = False) -> float | None:
        """A number between `low` and `high`, or its text, as a form has it; None where there is none."""
        value = self._values.get(name)
        if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
            value = float(value)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or (whole and value != int(value)):
            self.problem(name, "field_number")
        elif not low <= value <= high:
            self.problem(name, "field_range", low=low, high=high)
        else:
            return value
        return None

    def flag(self, name: str) -> bool:
        """True or false, or its text, as a form has it; false where there is none."""
        value = self._values.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        if not isinstance(value, str) or value.strip().lower() not in _FLAGS:
            self.problem(name, "field_flag")
            return False
        return _FLAGS[value.strip().lower()]

    def _spelled(self, name: str) -> Any:
        """The value under `name`, or what its text spells as JSON; a text that is not JSON stays one, an empty one is none."""
        value = self._values.get(name)
        if not isinstance(value, str):
            return value
        try:
            return _json(value)
        except (ValueError, RecursionError):
            return value or None


def body() -> Fields:
    """The fields of the request's JSON object.

    Raises UnsupportedMedia for another content type or a compressed body, InvalidRequest for what is not JSON (RFC 8259,
    strictly: UTF-8, no NaN, no name twice) or not an object, TooLarge for one of more bytes than the settings allow.
    """
    if not request.is_json or request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMedia
    data = _data(limit=service().config.max_request_bytes)
    try:
        value = _json(data.decode())
    except (ValueError, RecursionError):
        raise InvalidRequest("bad_json") from None
    if not isinstance(value, dict):
        raise InvalidRequest(details=[{"field": "", "message": message("field_object", locale())}])
    return Fields(value)


def query() -> Fields:
    """The fields of the request's query. Raises InvalidRequest for one that is not UTF-8."""
    return Fields(values())


def idempotency_key() -> str | None:
    """The Idempotency-Key of the request: 1 to 255 visible ASCII characters. Raises InvalidRequest for another."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequest(
            details=[{"field": "Idempotency-Key", "message": message("field_key", locale())}]
        )
    return key


def own_name(text: str) -> str:
    """A name as `Fields.name` takes them. Raises NotFound for another text."""
    if not _named(text):
        raise NotFound
    return text


def own_id(text: str) -> str:
    """An id as ours are. Raises NotFound for another text, which no database needs to be asked about."""
    if not _ID.fullmatch(text):
        raise NotFound
    return text


def parse_date(text: str) -> dt.date | None:
    """A date written YYYY-MM-DD in ASCII digits; None for anything else."""
    try:
        return dt.date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        return None


def _data(*, limit: int) -> bytes:
    """The request's whole body. Raises TooLarge beyond `limit` bytes, and reads no further; InvalidRequest for one that broke
    off or broke the rules of HTTP on the way (RFC 9112, 8)."""
    # Werkzeug cuts a body without a Content-Length at its maximum, silently: one byte more tells.
    request.max_content_length = limit + 1
    try:
        data = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise TooLarge from None
    except Exception:  # each server has an error of its own for a broken chunk or a client that is gone
        raise InvalidRequest("bad_body") from None
    if len(data) < (request.content_length or 0):
        raise InvalidRequest("bad_body")  # what came may be JSON all the same, but it was not what was meant
    if len(data) > limit:
        raise TooLarge
    return data


def _named(text: str) -> bool:
    # A browser takes "." and ".." out of a path.
    return len(text) <= _LONGEST_NAME and text.isprintable() and "/" not in text and text.strip(" .") != ""


def _json(text: str) -> Any:
    """Strictly as RFC 8259 has it. Raises ValueError and RecursionError."""
    return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse, parse_float=_float)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number too large")
    return value
