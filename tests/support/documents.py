"""Makes files as people send them: small, whole, and read by the programs they are for."""

from __future__ import annotations

import base64
import binascii
import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from html import escape

Cell = str | int | float | bool | None

_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'

#: A photo of one pixel in each format.
JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAx"
    "NDQ0Hyc5PTgyPC4zNDL/wAALCAABAAEBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUF"
    "BAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVW"
    "V1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi"
    "4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/AOQr/9k="
)
GIF = base64.b64decode("R0lGODdhAQABAIEAAMgeHgAAAAAAAAAAACwAAAAAAQABAAAIBAABBAQAOw==")
WEBP = base64.b64decode("UklGRh4AAABXRUJQVlA4TBEAAAAvAAAAAAdQjyLXo/+BiOh/AAA=")


def png(width: int = 2, height: int = 2, *, color: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    """An image of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", binascii.crc32(kind + data))

    rows = (b"\0" + bytes(color) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pdf(*pages: str) -> bytes:
    """A PDF of these pages, a line for each line; any language (a reader without the font shows boxes, the text is there)."""
    letters = sorted({letter for page in pages for letter in page.replace("\n", "")})
    code = {letter: f"{number:04x}" for number, letter in enumerate(letters, 1)}
    codes = "".join(f"<{code[letter]}> <{letter.encode('utf-16-be').hex()}>\n" for letter in letters)
    unicode = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /Sora def /CMapType 2 def\n"
        "1 begincodespacerange <0000> <ffff> endcodespacerange\n"
        f"{len(letters)} beginbfchar\n{codes}endbfchar\nendcmap end end"
    )
    objects: list[bytes] = []

    def add(text: str, stream: str | None = None) -> int:
        data = text.encode()
        if stream is not None:
            packed = zlib.compress(stream.encode())
            fields = f"<< /Length {len(packed)} /Filter /FlateDecode >>"
            data = fields.encode() + b"\nstream\n" + packed + b"\nendstream"
        objects.append(data)
        return len(objects)

    catalog, tree = add("<< /Type /Catalog /Pages 2 0 R >>"), 2
    objects.append(b"")
    mapping = add("", unicode)
    descriptor = add(
        "<< /Type /FontDescriptor /FontName /Sora /Flags 4 /FontBBox [0 -200 1000 900] /ItalicAngle 0"
        " /Ascent 900 /Descent -200 /CapHeight 700 /StemV 80 >>"
    )
    inner = add(
        "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /Sora /DW 1000 /CIDToGIDMap /Identity"
        f" /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> /FontDescriptor {descriptor} 0 R >>"
    )
    font = add(
        "<< /Type /Font /Subtype /Type0 /BaseFont /Sora /Encoding /Identity-H"
        f" /DescendantFonts [{inner} 0 R] /ToUnicode {mapping} 0 R >>"
    )
    kids = []
    for page in pages:
        lines = "".join(f"<{''.join(code[letter] for letter in line)}> Tj T*\n" for line in page.splitlines())
        shown = add("", f"BT /F1 10 Tf 14 TL 40 800 Td\n{lines}ET")
        kids.append(
            add(
                f"<< /Type /Page /Parent {tree} 0 R /MediaBox [0 0 595 842] /Contents {shown} 0 R"
                f" /Resources << /Font << /F1 {font} 0 R >> >> >>"
            )
        )
    listed = " ".join(f"{kid} 0 R" for kid in kids)
    objects[tree - 1] = f"<< /Type /Pages /Kids [{listed}] /Count {len(kids)} >>".encode()
    return assembled(objects, root=catalog)


def assembled(objects: Sequence[bytes], *, root: int = 1, trailer: str = "") -> bytes:
    """A PDF of numbered objects."""
    data, places = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    return (
        data
        + (
            f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
            f"trailer << /Size {len(objects) + 1} /Root {root} 0 R {trailer} >>\nstartxref\n{len(data)}\n%%EOF\n"
        ).encode()
    )


def encrypted_pdf() -> bytes:
    """A PDF that wants a password."""
    secret = "<" + "ab" * 32 + ">"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [] /Count 0 >>",
        f"<< /Filter /Standard /V 2 /R 3 /Length 128 /P -4 /O {secret} /U {secret} >>".encode(),
    ]
    identity = "<" + "cd" * 16 + ">"
    return assembled(objects, trailer=f"/Encrypt 3 0 R /ID [{identity} {identity}]")


def encrypted_office() -> bytes:
    """What Office writes for a document with a password: no ZIP but an OLE compound file."""
    return (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le") + bytes(512)
    )


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    """A ZIP file of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def docx(*paragraphs: str, table: Sequence[Sequence[str]] = (), body: str = "") -> bytes:
    """A Word document: paragraphs (those that begin with `# ` are headings), then a table, then XML of one's own."""
    text = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="1"/></w:pPr>{_run(line[2:])}</w:p>'
        if line.startswith("# ")
        else f"<w:p>{_run(line)}</w:p>"
        for line in paragraphs
    )
    if table:
        rows = "".join(
            f"<w:tr>{''.join(f'<w:tc><w:p>{_run(cell)}</w:p></w:tc>' for cell in row)}</w:tr>"
            for row in table
        )
        text += f"<w:tbl>{rows}</w:tbl>"
    word = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    return zipped(
        {
            "[Content_Types].xml": _types(
                {"/word/document.xml": f"{word}.document.main+xml", "/word/styles.xml": f"{word}.styles+xml"}
            ),
            "_rels/.rels": _relations({"rId1": ("officeDocument", "word/document.xml")}),
            "word/_rels/document.xml.rels": _relations({"rId1": ("styles", "styles.xml")}),
            "word/styles.xml": f'{_HEAD}<w:styles xmlns:w="{_WORD}">'
            '<w:style w:type="paragraph" w:default="1" w:styleId="a"><w:name w:val="Normal"/></w:style>'
            '<w:style w:type="paragraph" w:styleId="1">'
            '<w:name w:val="heading 1"/></w:style></w:styles>',
            "word/document.xml": f'{_HEAD}<w:document xmlns:w="{_WORD}"><w:body>{text}{body}</w:body></w:document>',
        }
    )


def _run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r>'


def xlsx(sheets: Mapping[str, Sequence[Sequence[Cell]]], *, hidden: Sequence[str] = ()) -> bytes:
    """A workbook: the name of each sheet and its rows. None is an empty cell; an integer of a text `date:45000` is a day."""
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{number}" r:id="rId{number}"{_state(name in hidden)}/>'
        for number, name in enumerate(sheets, 1)
    )
    sheet = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        f"/xl/worksheets/sheet{number}.xml": f"{sheet}.worksheet+xml" for number in range(1, len(sheets) + 1)
    }
    related = {
        f"rId{number}": ("worksheet", f"worksheets/sheet{number}.xml") for number in range(1, len(sheets) + 1)
    }
    return zipped(
        {
            "[Content_Types].xml": _types(
                {
                    "/xl/workbook.xml": f"{sheet}.sheet.main+xml",
                    "/xl/styles.xml": f"{sheet}.styles+xml",
                    **parts,
                }
            ),
            "_rels/.rels": _relations({"rId1": ("officeDocument", "xl/workbook.xml")}),
            "xl/workbook.xml": f'{_HEAD}<workbook xmlns="{_SHEET}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>',
            "xl/_rels/workbook.xml.rels": _relations({**related, "rId999": ("styles", "styles.xml")}),
            "xl/styles.xml": f'{_HEAD}<styleSheet xmlns="{_SHEET}"><cellXfs count="2"><xf numFmtId="0"/>'
            '<xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>',
            **{
                f"xl/worksheets/sheet{number}.xml": _worksheet(rows)
                for number, rows in enumerate(sheets.values(), 1)
            },
        }
    )


def _state(hidden: bool) -> str:
    return ' state="hidden"' if hidden else ""


def _worksheet(rows: Sequence[Sequence[Cell]]) -> str:
    text = "".join(
        f'<row r="{number}">{"".join(_cell(number, column, cell) for column, cell in enumerate(row))}</row>'
        for number, row in enumerate(rows, 1)
    )
    return f'{_HEAD}<worksheet xmlns="{_SHEET}"><sheetData>{text}</sheetData></worksheet>'


def _cell(row: int, column: int, value: Cell) -> str:
    place = f"{chr(ord('A') + column)}{row}"  # 26 columns are enough here
    match value:
        case None:
            return ""
        case bool():
            return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
        case int() | float():
            return f'<c r="{place}"><v>{value}</v></c>'
        case str() if value.startswith("date:"):
            return f'<c r="{place}" s="1"><v>{value.removeprefix("date:")}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def _types(parts: Mapping[str, str]) -> str:
    listed = "".join(f'<Override PartName="{name}" ContentType="{kind}"/>' for name, kind in parts.items())
    plain = (
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    )
    return f'{_HEAD}<Types xmlns="{_TYPES}">{plain}<Default Extension="xml" ContentType="application/xml"/>{listed}</Types>'


def _relations(targets: Mapping[str, tuple[str, str]]) -> str:
    listed = "".join(
        f'<Relationship Id="{id}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for id, (kind, target) in targets.items()
    )
    return f'{_HEAD}<Relationships xmlns="{_RELATIONS}">{listed}</Relationships>'
