"""The process that reads files: on threads and under gevent it keeps its limits, and nothing waits for it but who asked."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sora.errors import Overloaded, UnreadableFile
from sora.knowledge.extract import Limits, extract
from sora.knowledge.extraction import Extraction, extract_all
from tests.support import documents, process
from tests.support.waiting import wait_until

SAMPLES = {
    "a.txt": "재고는 셋".encode(),
    "a.csv": "품번,수량\nABC-12345,3\n".encode("cp949"),
    "a.json": '{"재고": [1, 2]}'.encode(),
    "a.html": "<h1>규정</h1><p>연차".encode(),
    "a.pdf": documents.pdf("연차는 15일", "둘째"),
    "a.docx": documents.docx("# 규정", "연차는 15일", table=[["가", "나"]]),
    "a.xlsx": documents.xlsx({"재고": [["품번", "수량"], ["ABC-12345", 3]]}),
    "a.png": documents.png(),
    "a.jpg": documents.JPEG,
    "a.gif": documents.GIF,
    "a.webp": documents.WEBP,
}
ENDLESS = b"<!" * 2_000_000  # what the parser of HTML is in no time done with
SLOW = Limits(seconds=1.0)


def children() -> set[int]:
    return set(process.children(os.getpid()))


def refused(read: Callable[[], object]) -> str:
    with pytest.raises(UnreadableFile) as refusal:
        read()
    return refusal.value.why


# -- what is read ------------------------------------------------------------------------------------------------------


def test_all_files_are_read_as_they_are_here_in_their_order() -> None:
    files = list(SAMPLES.items())

    assert extract_all(files, limits=Limits(files=len(files))) == [
        extract(name, content, limits=Limits()) for name, content in files
    ]


def test_a_large_table_comes_whole() -> None:
    lines = [f"P-{number},{number}" for number in range(20_000)]
    (found,) = extract_all([("a.csv", "\n".join(["품번,수량", *lines]).encode())], limits=Limits())

    assert found.rows == [{"품번": f"P-{number}", "수량": str(number)} for number in range(20_000)]


def test_images_alone_need_no_process() -> None:
    before = children()
    with Extraction(Limits()) as extraction:
        assert extraction.extract("a.png", documents.png()).kind == "image"
        assert children() == before


def test_nothing_is_nothing() -> None:
    assert extract_all([], limits=Limits()) == []


def test_too_many_and_too_large_are_refused_before_any_is_read() -> None:
    limits = Limits(files=2, size=100, seconds=0.0)

    assert refused(partial(extract_all, [("a", b"x")] * 3, limits=limits)) == "file_count"
    assert refused(partial(extract_all, [("a", b"x"), ("b", b"x" * 101)], limits=limits)) == "file_size"


def test_the_first_that_cannot_be_read_is_named() -> None:
    with pytest.raises(UnreadableFile) as refusal:
        extract_all([("a.txt", b"x"), ("b/c.pdf", b"%PDF-nothing"), ("d.pdf", b"")], limits=Limits())

    assert (refusal.value.why, refusal.value.name) == ("file_broken", "c.pdf")


# -- limits ------------------------------------------------------------------------------------------------------------


def test_others_go_on_while_a_file_is_read() -> None:
    ticks, over = [0], threading.Event()

    def tick() -> None:
        while not over.wait(0.001):
            ticks[0] += 1

    ticking = threading.Thread(target=tick)
    ticking.start()
    try:
        began = time.monotonic()
        assert refused(partial(extract_all, [("a.html", ENDLESS)], limits=SLOW)) == "file_costly"
        assert time.monotonic() - began >= 1.0
    finally:
        over.set()
        ticking.join()
    assert ticks[0] > 50  # of a thousand; a hub that waits would have had one or two


def test_the_time_is_that_of_all_files_and_the_next_are_read() -> None:
    began = time.monotonic()
    with Extraction(SLOW) as extraction:
        assert refused(partial(extraction.extract, "a.html", ENDLESS)) == "file_costly"
        assert extraction.extract("b.txt", b"x").text == "x"
    assert time.monotonic() - began < 10


def flate(megabytes: int) -> bytes:
    packer = zlib.compressobj(1)
    inner = b"".join(packer.compress(b" " * 2**20) for _ in range(megabytes)) + packer.flush()
    data = zlib.compress(inner, 9)
    return documents.assembled(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>",
            b"<< /Length %d /Filter [/FlateDecode /FlateDecode] >>\nstream\n%b\nendstream"
            % (len(data), data),
        ]
    )


def unpacking(name: str, megabytes: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("word/document.xml", "x")
        with archive.open(name, "w") as member:
            for _ in range(megabytes):
                member.write(b" " * 2**20)
    return out.getvalue()


def workbook(rows: str, *, strings: str = "") -> bytes:
    """A workbook whose sheet is XML of one's own."""
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    with zipfile.ZipFile(io.BytesIO(documents.xlsx({"a": []}))) as whole:
        members: dict[str, str | bytes] = {name: whole.read(name) for name in whole.namelist()}
    related = str(members["xl/_rels/workbook.xml.rels"], "utf-8")  # type: ignore[arg-type]
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"
    members["xl/_rels/workbook.xml.rels"] = related.replace(
        "</Relationships>",
        f'<Relationship Id="rId9" Type="{kind}" Target="sharedStrings.xml"/></Relationships>',
    )
    members["xl/sharedStrings.xml"] = f"<sst {space}><si><t>{strings}</t></si></sst>"
    members["xl/worksheets/sheet1.xml"] = f"<worksheet {space}><sheetData>{rows}</sheetData></worksheet>"
    return documents.zipped(members)


def members() -> bytes:
    return documents.zipped(dict.fromkeys(("xl/workbook.xml", *map(str, range(10000))), ""))


def shared() -> bytes:
    """One string of 30 kB in 60,000 cells."""
    rows = (f'<row r="{row}"><c r="A{row}" t="s"><v>0</v></c></row>' for row in range(1, 60_000))
    return workbook("".join(rows), strings="x" * 30_000)


def far() -> bytes:
    """Two cells in the first and in the last place that there is."""
    return workbook(
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    )


def pixels() -> bytes:
    return documents.png(1, 1).replace(b"\0\0\0\1\0\0\0\1", b"\0\0\xff\xff\0\0\xff\xff")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        pytest.param("a.docx", partial(unpacking, "word/styles.xml", 40), "file_unpacked", id="zip"),
        pytest.param("a.xlsx", members, "file_unpacked", id="members"),
        pytest.param("a.pdf", partial(flate, 300), "file_costly", id="flate"),
        pytest.param("a.xlsx", shared, "file_costly", id="strings"),
        pytest.param("a.xlsx", far, "file_cells", id="far"),
        pytest.param("a.csv", lambda: b"a," * 300_000, "file_cells", id="wide"),
        pytest.param("a.txt", lambda: b"a" * 1_000_001, "file_text", id="long"),
        pytest.param("a.json", lambda: b"[" * 1_000_000, "file_depth", id="deep"),
        pytest.param("a.json", lambda: b"[" * 102 + b"]" * 102, "file_depth", id="deeper"),
        pytest.param("a.pdf", lambda: documents.pdf(*["x"] * 2_001), "file_pages", id="pages"),
        pytest.param("a.png", pixels, "file_unpacked", id="pixels"),
    ],
)
def test_what_grows_when_it_is_read_is_refused(name: str, content: Callable[[], bytes], why: str) -> None:
    limits = Limits(memory=256 * 2**20, unpacked=32 * 2**20, seconds=20.0, cells=200_000)
    with Extraction(limits) as extraction:
        assert refused(partial(extraction.extract, name, content())) == why
        assert extraction.extract("b.txt", b"x").text == "x"


def test_the_json_that_is_deep_enough() -> None:
    assert extract("a.json", b"[" * 100 + b"]" * 100, limits=Limits()).kind == "text"


def test_two_requests_are_read_at_a_time_and_more_are_told_to_come_again() -> None:
    before = children()
    busy = [
        threading.Thread(
            target=refused, args=[partial(extract_all, [("a.html", ENDLESS)], limits=Limits(seconds=4.0))]
        )
        for _ in range(2)
    ]
    for one in busy:
        one.start()
    try:
        wait_until(lambda: len(children() - before) == 2, timeout=10)
        with pytest.raises(Overloaded):
            extract_all([("b.txt", b"x")], limits=Limits(seconds=0.2))
    finally:
        for one in busy:
            one.join()
    assert extract_all([("b.txt", b"x")], limits=Limits())[0].text == "x"


# -- the process -------------------------------------------------------------------------------------------------------


def test_the_process_knows_no_secret_and_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORA_JWT_SECRET", "a-secret-that-no-parser-may-see")
    before = children()
    with Extraction(Limits(memory=512 * 2**20)) as extraction:
        extraction.extract("a.txt", b"x")
        (pid,) = children() - before
        proc = Path(f"/proc/{pid}")
        environ = proc.joinpath("environ").read_text()
        limits = proc.joinpath("limits").read_text().splitlines()
    assert "SORA" not in environ and "a-secret" not in environ
    soft = {line[:25].strip(): line[25:].split()[0] for line in limits[1:]}
    assert soft["Max address space"] == str(512 * 2**20)
    assert soft["Max file size"] == soft["Max core file size"] == "0"
    assert 30 <= int(soft["Max cpu time"]) <= 40
    assert not proc.exists()


def test_the_process_ends_with_the_one_that_started_it() -> None:
    code = (
        "import sys; from sora.knowledge.extraction import Extraction, Limits\n"
        "extraction = Extraction(Limits()); extraction.extract('a.txt', b'x')\n"
        "print(extraction._child._pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=process.ROOT
    ) as parent:
        assert parent.stdout is not None
        child = Path("/proc", parent.stdout.readline().decode().strip())
        assert child.exists()
        parent.send_signal(signal.SIGKILL)
    # Whoever inherits it may take its time to wait for it.
    wait_until(lambda: not child.exists() or ") Z " in child.joinpath("stat").read_text(), timeout=10)


def test_a_process_that_was_killed_is_started_anew() -> None:
    before = children()
    with Extraction(Limits()) as extraction:
        extraction.extract("a.txt", b"x")
        (pid,) = children() - before
        os.kill(pid, signal.SIGKILL)
        assert refused(partial(extraction.extract, "a.txt", b"x")) == "file_costly"
        assert extraction.extract("a.txt", b"y").text == "y"


# -- anything at all ---------------------------------------------------------------------------------------------------


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A real file that was cut, or had bytes changed, or another one's name; inside of its archive, too."""
    name, content = draw(st.sampled_from(sorted(SAMPLES.items())))
    if content.startswith(b"PK") and draw(st.booleans()):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members: dict[str, str | bytes] = {member: archive.read(member) for member in archive.namelist()}
        inner = draw(st.sampled_from(sorted(members)))
        members[inner] = changed(draw, bytes(members[inner]))  # type: ignore[arg-type]
        content = documents.zipped(members)
    else:
        content = changed(draw, content)
    return draw(st.sampled_from([name, *SAMPLES])), content


def changed(draw: st.DrawFn, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(draw(st.integers(0, 8))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)) | st.just(len(data)))])


def test_no_bytes_do_more_than_be_refused() -> None:
    with Extraction(Limits(seconds=5.0)) as extraction:

        @settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
        @given(damaged() | st.tuples(st.sampled_from(sorted(SAMPLES)), st.binary()))
        def check(file: tuple[str, bytes]) -> None:
            try:
                found = extraction.extract(*file)
            except UnreadableFile as error:
                assert error.told("ko") and error.told("en")  # noqa: PT017
            else:
                assert found.name == file[0]
                assert found.text.strip() or found.content

        check()
