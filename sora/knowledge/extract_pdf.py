"""The text of a PDF, through PDFium."""

from __future__ import annotations

import re

from sora.errors import UnreadableFile
from sora.knowledge.gathered import Gathered

_HYPHEN = re.compile("[\x02\ufffe]\r?\n?")  # PDFium's mark of a word that goes on in the next line


def read(content: bytes, out: Gathered) -> None:
    """The text, page by page. Raises UnreadableFile for a PDF that wants a password, or has too many pages."""
    # Only the process that reads files loads PDFium.
    import pypdfium2 as pdfium
    from pypdfium2.raw import FPDF_ERR_PASSWORD

    try:
        document = pdfium.PdfDocument(content)
    except pdfium.PdfiumError as error:
        encrypted = getattr(error, "err_code", None) == FPDF_ERR_PASSWORD
        raise UnreadableFile("file_encrypted" if encrypted else "file_broken") from None
    try:
        pages = len(document)
        if pages > out.limits.pages:
            raise UnreadableFile("file_pages", high=out.limits.pages)
        for number in range(pages):
            page = document[number]
            text = page.get_textpage()
            out.add(_HYPHEN.sub("", text.get_text_bounded()) + "\n\n")
            text.close()
            page.close()
    finally:
        document.close()
