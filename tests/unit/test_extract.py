"""What is read of each kind of file."""

from __future__ import annotations

import codecs
import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.config import Config
from sora.errors import UnreadableFile
from sora.knowledge.extract import Extracted, Limits, extract, file_name, limits_of
from tests.support import documents

SHEET = [["품번", "수량", "입고일"], ["ABC-12345", 3, "date:45000"], ["X-1", 1.5, None], ["Y", None, True]]


def read(name: str, content: bytes | str, **limits: int) -> Extracted:
    data = content.encode() if isinstance(content, str) else content
    return extract(name, data, limits=Limits(**limits))


def refused(name: str, content: bytes | str, **limits: int) -> str:
    with pytest.raises(UnreadableFile) as refusal:
        read(name, content, **limits)
    assert refusal.value.name == name
    return refusal.value.why


# -- text --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "재고는 café 3개".encode(),
        codecs.BOM_UTF8 + "재고는 café 3개".encode(),
        codecs.BOM_UTF16_LE + "재고는 café 3개".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "재고는 café 3개".encode("utf-16-be"),
        codecs.BOM_UTF32_LE + "재고는 café 3개".encode("utf-32-le"),
        "재고는 cafe\u0301 3개".encode(),
    ],
)
def test_text_in_every_encoding_that_says_what_it_is(content: bytes) -> None:
    assert read("a.txt", content) == Extracted("a.txt", "text/plain", "text", "재고는 café 3개")


@pytest.mark.parametrize("encoding", ["cp949", "euc-kr"])
def test_korean_as_windows_writes_it(encoding: str) -> None:
    assert read("메모.txt", "연차는 십오 일입니다.".encode(encoding)).text == "연차는 십오 일입니다."


def test_syllables_that_only_cp949_has() -> None:
    assert read("a.txt", "똠방각하 펲시콜라".encode("cp949")).text == "똠방각하 펲시콜라"


def test_a_broken_byte_in_much_text_is_one_broken_character() -> None:
    text = "가나다 " * 500

    assert read("a.txt", text.encode() + b"\xea\xb0" + text.encode()).text.count("\ufffd") == 1


def test_western_text_without_a_mark() -> None:
    assert (
        read("a.txt", "Prix : 3 € – d\u2019accord, naïve".encode("cp1252")).text
        == "Prix : 3 € – d\u2019accord, naïve"
    )


def test_lines_and_characters_are_cleaned() -> None:
    assert read("a.txt", "a \r\nb\rc\x0cd\x1b[0m\u2028e\n\n\n\n\nf\n").text == "a\nb\nc\nd[0m\ne\n\nf"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.md", "text/markdown"), ("a.MD", "text/markdown"), ("a.py", "text/plain"), ("README", "text/plain")],
)
def test_any_text_is_text(name: str, media_type: str) -> None:
    found = read(name, "# 제목\n본문")

    assert (found.kind, found.media_type, found.text, found.rows) == (
        "text",
        media_type,
        "# 제목\n본문",
        None,
    )


def test_json_is_laid_out_with_its_values_as_they_are() -> None:
    found = read("a.json", r'{"이름":"\uc7ac\uace0","n":[1,2.50,null],"큰":12345678901234567890}')

    assert found.text == (
        '{\n "이름": "재고",\n "n": [\n  1,\n  2.5,\n  null\n ],\n "큰": 12345678901234567890\n}'
    )
    assert found.media_type == "application/json"


def test_what_is_shown_of_a_page() -> None:
    page = """<!doctype html><head><meta charset=utf-8><title>규정</title><style>p{}</style></head>
        <body><script>alert("no")</script><h2>연차 &amp; 휴가</h2><p>연차는 <b>15</b>일
        입니다.</p><ul><li>첫째<li>둘째</ul><table><tr><th>구분<td>금액</tr></table><pre>a
  b</pre></body>"""

    assert read("a.html", page).text.splitlines() == [
        "규정", "", "## 연차 & 휴가", "", "연차는 15일 입니다.", "", "- 첫째", "- 둘째", "", "구분 | 금액", "", "a", "  b",
    ]  # fmt: skip


def test_a_page_says_its_encoding_itself() -> None:
    page = '<meta charset="euc-kr"><p>재고 현황</p>'.encode("euc-kr")

    assert read("a.htm", page).text == "재고 현황"


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("재고.csv", '품번,품명,수량\r\nABC-12345,"볼트, 긴",1000\r\nX-1,,7\r\n'),
        ("재고.csv", "품번;품명;수량\nABC-12345;볼트, 긴;1000\nX-1;;7"),
        ("재고.csv", "sep=|\n품번|품명|수량\nABC-12345|볼트, 긴|1000\nX-1||7"),
        ("재고.tsv", "품번\t품명\t수량\nABC-12345\t볼트, 긴\t1000\n\t\t\nX-1\t\t7\t"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp949", "utf-16"])
def test_rows_of_a_table(name: str, text: str, encoding: str) -> None:
    found = read(name, text.encode(encoding))

    assert found.kind == "table"
    assert found.tables[0].name == "재고"
    assert found.tables[0].columns == ("품번", "품명", "수량")
    assert found.rows == [
        {"품번": "ABC-12345", "품명": "볼트, 긴", "수량": "1000"},
        {"품번": "X-1", "품명": "", "수량": "7"},
    ]
    assert found.text == "품번 | 품명 | 수량\nABC-12345 | 볼트, 긴 | 1000\nX-1 |  | 7"


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("a,b\n1,2", ("a", "b"), 1),
        ("품목,2024,2025\n볼트,3,4", ("품목", "2024", "2025"), 1),
        ("2026년 재고 현황\n\n품번,수량\nA,1\nB,2", ("품번", "수량"), 2),
        ("1,2\n3,4", ("A", "B"), 2),
        ("이름,값,값,\nx,1,2,3", ("이름", "값", "값 2", "D"), 1),
        ("이름,값\nx,1,덤", ("이름", "값", "C"), 1),
        ("이름\n보라\n다나", ("이름",), 2),
        ("이름,수량", ("이름", "수량"), 0),
        (",".join("1" * 28), (*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "AA", "AB"), 1),
    ],
)
def test_a_header_is_found(text: str, columns: tuple[str, ...], rows: int) -> None:
    (table,) = read("a.csv", text).tables

    assert table.columns == columns
    assert len(table.rows) == rows


def test_sheets_of_a_workbook() -> None:
    book = documents.xlsx(
        {"재고": SHEET, "빈": [], "숨김": [["x"]], "둘": [["이름"], ["보라"]]}, hidden=["숨김"]
    )
    found = read("재고.xlsx", book)

    assert [table.name for table in found.tables] == ["재고", "둘"]
    assert found.tables[0].rows == [
        {"품번": "ABC-12345", "수량": "3", "입고일": "2023-03-15"},
        {"품번": "X-1", "수량": "1.5"},
        {"품번": "Y", "수량": "", "입고일": "TRUE"},
    ]
    assert found.rows == [*found.tables[0].rows, {"이름": "보라"}]
    assert found.text.startswith("## 재고\n품번 | 수량 | 입고일\nABC-12345 | 3 | 2023-03-15\n")
    assert "숨김" not in found.text


_LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Co", "Cn", "Zl", "Zp"])


@given(st.lists(st.tuples(*[st.text(_LETTERS, max_size=8).map("x{}".format)] * 3)))
def test_every_cell_is_where_it_was(rows: list[tuple[str, str, str]]) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([("이름", "값", "끝"), *rows])
    (table,) = read("a.csv", out.getvalue()).tables

    assert [list(row.values()) for row in table.rows] == [
        [" ".join(unicodedata.normalize("NFC", cell).split()) for cell in row] for row in rows
    ]
    assert all(tuple(row) == ("이름", "값", "끝") for row in table.rows)


# -- documents ---------------------------------------------------------------------------------------------------------


def test_a_pdf() -> None:
    found = read("규정.pdf", documents.pdf("연차는 15일입니다. 😀\n부품 ABC-12345", "둘째 쪽"))

    assert found == Extracted(
        "규정.pdf", "application/pdf", "text", "연차는 15일입니다. 😀\n부품 ABC-12345\n\n둘째 쪽"
    )


def test_a_word_document() -> None:
    word = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    body = (
        "<w:p><w:del><w:r><w:t>지운 글</w:t><w:delText>지운 글</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>새 글</w:t></w:r></w:ins>"
        "<w:r><w:tab/><w:t>뒤</w:t><w:br/><w:t>줄</w:t></w:r></w:p>"
        "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>목록</w:t></w:r></w:p>"
        f"<w:p {word}><mc:AlternateContent><mc:Choice><w:txbxContent><w:p><w:r><w:t>상자</w:t></w:r></w:p>"
        "</w:txbxContent></mc:Choice><mc:Fallback><w:p><w:r><w:t>상자</w:t></w:r></w:p></mc:Fallback>"
        "</mc:AlternateContent><w:r><w:t>옆</w:t></w:r></w:p>"
    )
    found = read(
        "a.docx",
        documents.docx("# 출장비", "숙박비 <80,000원>", table=[["구분", "금액"], ["식비", "1"]], body=body),
    )

    assert found.kind == "text"
    assert found.text == (
        "# 출장비\n\n숙박비 <80,000원>\n구분 | 금액\n식비 | 1\n\n새 글\t뒤\n줄\n- 목록\n상자\n옆"
    )


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("a.png", documents.png(), "image/png"),
        ("a.jpg", documents.JPEG, "image/jpeg"),
        ("a.gif", documents.GIF, "image/gif"),
        ("a.webp", documents.WEBP, "image/webp"),
        ("a.jpg", documents.WEBP, "image/webp"),
        ("photo", documents.png(), "image/png"),
    ],
)
def test_an_image_passes_as_it_is(name: str, content: bytes, media_type: str) -> None:
    assert read(name, content) == Extracted(name, media_type, "image", content=content)


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("보고서.pdf", "보고서.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\보라\\a.txt", "a.txt"),
        ("/a/b/", "b"),
        ("a\0b\n\x1b.txt", "ab.txt"),
        ("gpj.\u202etxt", "gpj.txt"),
        ("\u1100\u1161.txt", "가.txt"),
        ("..", "file"),
        ("", "file"),
        (" \ud800 ", "file"),
        ("가" * 300 + ".docx", "가" * 180 + "…" + "가" * 14 + ".docx"),
    ],
)
def test_a_name_is_the_last_part_of_a_path(given: str, name: str) -> None:
    assert file_name(given) == name
    assert read(given, "x").name == name if "." not in given else True


@given(st.text())
def test_any_name_can_be_shown(given: str) -> None:
    name = file_name(given)

    assert 0 < len(name) <= 200
    assert not set("/\\\0\n") & set(name)
    name.encode()


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.txt", b"", "file_empty"),
        ("a.pdf", b"\n\0 ", "file_empty"),
        ("a.txt", codecs.BOM_UTF8, "file_no_text"),
        ("a.html", b"<script>x</script>", "file_no_text"),
        ("a.docx", documents.docx(""), "file_no_text"),
        ("a.xlsx", documents.xlsx({"a": []}), "file_no_text"),
        ("a.pdf", documents.pdf(""), "file_no_text"),
        ("a.pdf", b"MZ\x90\0\x03\0\0\0" + bytes(200), "file_disguised"),
        ("a.exe", b"MZ\x90\0\x03\0\0\0" + bytes(200), "file_type"),
        ("a.png", b"<html><script>alert(1)</script>", "file_disguised"),
        ("a.txt", documents.png(), "file_disguised"),
        ("a.pdf", documents.png(), "file_disguised"),
        ("a.docx", documents.xlsx({"a": [["b"]]}), "file_disguised"),
        ("a.docx", documents.pdf("x"), "file_disguised"),
        ("a.xlsx", documents.zipped({"a": "b"}), "file_disguised"),
        ("a.zip", documents.zipped({"a": "b"}), "file_type"),
        ("a.csv", bytes(range(256)), "file_disguised"),
        ("a.pdf", documents.encrypted_pdf(), "file_encrypted"),
        ("a.docx", documents.encrypted_office(), "file_encrypted"),
        ("a.xlsx", documents.encrypted_office(), "file_encrypted"),
        ("a.hwp", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "file_old_office"),
        ("a.pdf", b"%PDF-1.7\n" + b"x" * 300, "file_broken"),
        ("a.docx", documents.docx("본문")[:-40], "file_broken"),
        ("a.docx", documents.zipped({"word/document.xml": "<w:document"}), "file_broken"),
        ("a.docx", documents.zipped({"word/document.xml": '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'}), "file_broken"),
        ("a.xlsx", documents.zipped({"xl/workbook.xml": "<workbook>"}), "file_broken"),
        ("a.json", b'{"a": ', "file_broken"),
        ("a.png", documents.png()[:-12], "file_broken"),
        ("a.jpg", documents.JPEG[:-2], "file_broken"),
        ("a.gif", documents.GIF[:-1], "file_broken"),
        ("a.webp", documents.WEBP[:-1], "file_broken"),
        ("a.png", documents.png(0, 0), "file_broken"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_apart(name: str, content: bytes, why: str) -> None:
    assert refused(name, content) == why


@pytest.mark.parametrize(
    ("why", "status", "code"),
    [
        ("file_broken", 400, "unreadable_file"),
        ("file_encrypted", 400, "unreadable_file"),
        ("file_disguised", 415, "unsupported_media_type"),
        ("file_type", 415, "unsupported_media_type"),
        ("file_unpacked", 413, "too_large"),
        ("file_costly", 413, "too_large"),
    ],
)
def test_a_refusal_names_the_file_in_both_languages(why: str, status: int, code: str) -> None:
    error = UnreadableFile(why, name="보고서.pdf")

    assert (error.status, error.code, error.retryable, error.reason) == (
        status,
        code,
        False,
        "unreadable_file",
    )
    assert [detail["field"] for detail in error.told("ko")] == ["files"]
    assert error.told("ko")[0]["message"].startswith("보고서.pdf: ")
    assert error.told("en")[0]["message"].startswith("보고서.pdf: ")
    assert error.told("ko") != error.told("en")


def test_the_settings_are_the_limits() -> None:
    limits = limits_of(Config(max_files=1, max_file_size=2, max_file_text=3, file_timeout=4.0))

    assert (limits.files, limits.size, limits.text, limits.seconds) == (1, 2, 3, 4.0)
    assert limits_of(Config()) == Limits()
