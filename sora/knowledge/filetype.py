"""What a file is: by its content, checked against the ending of its name."""

from __future__ import annotations

import io
import zipfile

from sora.errors import UnreadableFile
from sora.knowledge.plaintext import decoded

TEXT, MARKDOWN, HTML = "text/plain", "text/markdown", "text/html"
CSV, TSV, JSON = "text/csv", "text/tab-separated-values", "application/json"
PDF = "application/pdf"
_OFFICE = "application/vnd.openxmlformats-officedocument"
DOCX, XLSX = f"{_OFFICE}.wordprocessingml.document", f"{_OFFICE}.spreadsheetml.sheet"
PNG, JPEG, WEBP, GIF = "image/png", "image/jpeg", "image/webp", "image/gif"
IMAGES = frozenset({PNG, JPEG, WEBP, GIF})

_BY_ENDING = {
    "txt": TEXT, "text": TEXT, "log": TEXT, "md": MARKDOWN, "markdown": MARKDOWN, "html": HTML, "htm": HTML,
    "csv": CSV, "tsv": TSV, "json": JSON, "pdf": PDF, "docx": DOCX, "xlsx": XLSX,
    "png": PNG, "jpg": JPEG, "jpeg": JPEG, "webp": WEBP, "gif": GIF,
}  # fmt: skip
_TEXTS = frozenset({TEXT, MARKDOWN, HTML, CSV, TSV, JSON})
_SIGNATURES = (
    (b"%PDF-", PDF),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
)
_ZIP = b"PK\x03\x04"
_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PDF_MAY_BEGIN = 1024  # PDF 32000-1, annex H: within the first 1024 bytes


def detected(name: str, content: bytes) -> str:
    """The media type. Raises UnreadableFile for a kind that cannot be read, and for another than the name's ending says.

    Any image may have any image's ending: browsers save one kind under the name of another.
    """
    said = _BY_ENDING.get(name.rpartition(".")[2].lower()) if "." in name else None
    found = signature(content)
    if found is None and said == PDF and b"%PDF-" in content[:_PDF_MAY_BEGIN]:
        found = PDF
    if found is None:
        if content.startswith(_ZIP):
            found = _packed(content, said)
        elif content.startswith(_COMPOUND):
            encrypted = "EncryptedPackage".encode("utf-16-le") in content
            raise UnreadableFile("file_encrypted" if encrypted else "file_old_office")
        else:
            return _text(content, said)
    if said not in (None, found) and not (said in IMAGES and found in IMAGES):
        raise UnreadableFile("file_disguised")
    return found


def signature(content: bytes) -> str | None:
    """The media type of an image or a PDF by its first bytes."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return WEBP
    return next((kind for begin, kind in _SIGNATURES if content.startswith(begin)), None)


def _text(content: bytes, said: str | None) -> str:
    if said is not None and said not in _TEXTS:
        raise UnreadableFile("file_disguised")
    try:
        decoded(content)
    except UnreadableFile:
        if said is None:
            raise UnreadableFile("file_type") from None
        raise
    return said or TEXT


def _packed(content: bytes, said: str | None) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = {member.filename for member in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise UnreadableFile("file_broken" if said in (DOCX, XLSX) else "file_type") from None
    if "word/document.xml" in names:
        return DOCX
    if "xl/workbook.xml" in names:
        return XLSX
    raise UnreadableFile("file_type" if said is None else "file_disguised")
