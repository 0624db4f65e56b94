"""A multipart form: fields, and files that never touch the disk on their way."""

from __future__ import annotations

import io
import time
from typing import IO, Any

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from sora.errors import InvalidRequest, TooLarge, UnreadableFile, UnsupportedMedia
from sora.knowledge.extract import file_name
from sora.web.fields import Fields
from sora.web.service import service

_PARTS = 100

#: (name, content)
Upload = tuple[str, bytes]


def sent() -> bool:
    """Whether the request's body is a form with files."""
    return request.mimetype == "multipart/form-data"


def form(*, files: str) -> tuple[Fields, list[Upload]]:
    """The text fields of the request's form, and its files in the field `files`. A form that was sent without choosing a file
    has none.

    Problems with a field are noted in the Fields. Raises UnsupportedMedia for another content type or a compressed body,
    InvalidRequest for a form that is broken or did not arrive whole, TooLarge and UnreadableFile for more than the settings
    allow: it is read no further then.
    """
    if not sent() or request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMedia
    config = service().config
    # Werkzeug cuts a body without a Content-Length at its maximum, silently: what is cut is a broken form.
    request.max_content_length = config.max_files * config.max_file_size + config.max_request_bytes
    parser = FormDataParser(
        stream_factory=_file,
        max_form_memory_size=config.max_request_bytes,
        max_form_parts=_PARTS,
        silent=False,
    )
    try:
        _, texts, parts = parser.parse(
            request.stream, "multipart/form-data", request.content_length, request.mimetype_params
        )
    except RequestEntityTooLarge:
        raise TooLarge from None
    except UnreadableFile:
        raise
    except (
        Exception
    ):  # each server has an error of its own for a client that is gone, the parser several for a bad form
        raise InvalidRequest("bad_form") from None
    # What was no UTF-8 has become U+FFFD; a NUL is refused by whoever reads the field.
    fields = Fields({name: text.replace("\ufffd", "\0") for name, text in texts.to_dict().items()})
    for name, many in texts.lists():
        if name == files:
            fields.problem(name, "field_file")
        elif len(many) > 1:
            fields.problem(name, "field_twice")
    uploads = []
    for name, part in parts.items(multi=True):
        content = part.read()
        if name == files and (part.filename or content):
            uploads.append((part.filename or "", content))
        elif content:
            fields.problem(name, "field_unknown")
    return fields, uploads


def _file(
    total_content_length: int | None,
    content_type: str | None,
    filename: str | None,
    content_length: int | None = None,
) -> IO[bytes]:
    """Where the parser puts a file."""
    return _File(filename or "", most=service().config.max_file_size)


class _File(io.BytesIO):
    """A file that comes in. Raises UnreadableFile as soon as it is too large."""

    def __init__(self, name: str, *, most: int) -> None:
        super().__init__()
        self._name, self._most = name, most

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._most:
            raise UnreadableFile("file_size", name=file_name(self._name), high=self._most)
        written = super().write(data)
        time.sleep(0)  # the next piece may be there already: to take all of them would let nobody else in
        return written
