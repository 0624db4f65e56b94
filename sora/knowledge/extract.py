"""A file's bytes become text, a table or an image: `extract`, which parses here and now.

What parses a stranger's file belongs in a process of its own: `sora.knowledge.extraction`. The kind of a file is what its
content is (filetype.py); its name must not claim another.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from sora.config import Config
from sora.errors import UnreadableFile
from sora.knowledge import (
    extract_delimited,
    extract_docx,
    extract_html,
    extract_image,
    extract_json,
    extract_pdf,
    extract_xlsx,
    filetype,
)  # fmt: skip
from sora.knowledge.gathered import Gathered, Limits
from sora.knowledge.plaintext import clean, decoded
from sora.knowledge.table import Table

__all__ = ["Extracted", "Limits", "Table", "extract", "file_name", "limits_of"]

_NAME_LENGTH = 200
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a file holds. `name` is fit to be shown; `media_type` is what the content is, whatever the upload said.

    text: `text` alone. table: its `tables`, and the same as `text`, a line for each row. image: `content`, as it came.
    """

    name: str
    media_type: str
    kind: Literal["text", "table", "image"]
    text: str = ""
    tables: tuple[Table, ...] = ()
    content: bytes = b""

    @property
    def rows(self) -> list[dict[str, str]] | None:
        """The rows of all its tables; None for what is no table."""
        return [row for table in self.tables for row in table.rows] if self.kind == "table" else None


def limits_of(config: Config) -> Limits:
    """The limits that the settings set."""
    return Limits(
        files=config.max_files,
        size=config.max_file_size,
        text=config.max_file_text,
        seconds=config.file_timeout,
    )


def extract(name: str, content: bytes, *, limits: Limits) -> Extracted:
    """Read a file: text, Markdown, CSV, TSV, JSON, HTML, PDF, DOCX, XLSX, or an image (PNG, JPEG, WebP, GIF).

    Raises UnreadableFile, which names the file, and nothing else: for what is none of these or not what its name says, is
    broken, encrypted or empty, or beyond `limits`. Text beyond them is refused and never cut. Blocks, and takes the time and
    the memory that the content wants: `limits.seconds` and `limits.memory` are held by the process around it.
    """
    name = file_name(name)
    try:
        return _extracted(name, content, limits)
    except UnreadableFile as error:
        error.name = name
        raise
    except MemoryError:
        raise UnreadableFile("file_costly", name=name) from None
    except Exception:  # a parser meets bytes made to break it: whatever it raises means that
        raise UnreadableFile("file_broken", name=name) from None


def file_name(given: str) -> str:
    """The last part of a name or a path of any system, NFC, without characters that cannot be seen, 200 at most."""
    visible = "".join(
        letter
        for letter in unicodedata.normalize("NFC", given[-4 * _NAME_LENGTH :])
        if unicodedata.category(letter) not in _INVISIBLE
    )
    last = visible.replace("\\", "/").rstrip("/ .").rpartition("/")[2].strip(" ")
    if len(last) > _NAME_LENGTH:  # the ending tells what it is
        last = last[: _NAME_LENGTH - 20] + "…" + last[-19:]
    return last or "file"


def _extracted(name: str, content: bytes, limits: Limits) -> Extracted:
    if len(content) > limits.size:
        raise UnreadableFile("file_size", high=limits.size)
    if not content.strip(b"\0 \t\r\n"):
        raise UnreadableFile("file_empty")
    media_type = filetype.detected(name, content)
    if media_type in filetype.IMAGES:
        extract_image.check(media_type, content)
        return Extracted(name, media_type, "image", content=content)
    gathered = Gathered(limits)
    tables: tuple[Table, ...] = ()
    if media_type in (filetype.CSV, filetype.TSV):
        stem = PurePosixPath(name).stem
        tables = (extract_delimited.read(_text(content, limits), name=stem, out=gathered),)
    elif media_type == filetype.XLSX:
        tables = extract_xlsx.read(content, out=gathered)
    else:
        _READERS[media_type](content, gathered)
    text = gathered.text()
    if not text.strip():
        raise UnreadableFile("file_no_text")
    return Extracted(name, media_type, "table" if tables else "text", text, tables)


def _text(content: bytes, limits: Limits) -> str:
    text = clean(decoded(content))
    if len(text) > limits.text:
        raise UnreadableFile("file_text", high=limits.text)
    return text


def _plain(content: bytes, out: Gathered) -> None:
    out.add(clean(decoded(content)))


_READERS: dict[str, Callable[[bytes, Gathered], None]] = {
    filetype.TEXT: _plain,
    filetype.MARKDOWN: _plain,
    filetype.JSON: extract_json.read,
    filetype.HTML: extract_html.read,
    filetype.PDF: extract_pdf.read,
    filetype.DOCX: extract_docx.read,
}
