"""What the documents say and the code says elsewhere is the same."""

from __future__ import annotations

import configparser
import dataclasses
import re

import pytest

import sora
from sora import metrics
from sora.app import ENDPOINTS
from sora.config import Config, variable
from sora.store.models import Base
from tests.support.process import ROOT
from tests.support.tables import README, REASONS, dependencies, inserted

DOCUMENTS = ("README.md", "CHANGELOG.md", "docs/agent.md", "docs/operations.md", "docs/simulator.md")


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_the_tables_of_the_readme_say_what_the_code_says() -> None:
    text = README.read_text("utf-8")

    assert inserted(text) == text, "python -m tests.support.tables writes them anew"


def test_every_dependency_is_there_for_a_reason() -> None:
    assert dependencies() == list(REASONS)


def test_the_pinned_and_the_loose_dependencies_are_the_same() -> None:
    pinned = re.findall(r"^[\w-]+", read("requirements.txt"), re.MULTILINE)

    assert pinned == dependencies()


def test_the_version_is_one() -> None:
    setup = configparser.ConfigParser()
    setup.read_string(read("setup.cfg"))
    newest = re.findall(r"^## \[([\d.]+)\]", read("CHANGELOG.md"), re.MULTILINE)[0]

    assert setup["metadata"]["version"] == newest == sora.__version__


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_a_document_names_is_there(name: str) -> None:
    text = read(name)

    folder = (ROOT / name).parent
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (folder / link).exists(), link
    for anchor in re.findall(r"\]\(#([\w-]+)\)", text):
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        assert anchor in [heading.lower().replace(" ", "-") for heading in headings]
    targets = re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE)
    for target in re.findall(r"(?:`|    |^)make (?:-s )?([a-z][a-z-]+)", text, re.MULTILINE):
        assert target in targets, f"make {target}"
    known = {variable(entry.name) for entry in dataclasses.fields(Config)}
    assert set(re.findall(r"SORA_[A-Z_]*[A-Z]", text)) <= known


def test_every_metric_is_explained() -> None:
    text = read("docs/operations.md")

    for metric in vars(metrics).values():
        if hasattr(metric, "describe") and hasattr(metric, "_labelnames"):
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            assert f"`{name}`" in text, name
            for label in metric._labelnames:
                assert re.search(rf"`{name}`.*`{label}`", text), f"{name} {label}"


def test_nginx_takes_what_sora_takes() -> None:
    (megabytes,) = re.findall(r"client_max_body_size (\d+)m;", read("nginx/sora.conf"))
    config = Config()

    assert int(megabytes) * 2**20 == config.max_files * config.max_file_size + config.max_request_bytes


def test_a_host_is_told_of_every_endpoint_and_table() -> None:
    section = README.read_text("utf-8").partition("\n## In an existing Flask app\n")[2].partition("\n## ")[0]
    mounted = section.partition("`endpoints` names what is mounted: ")[2].partition(";")[0]
    tables = section.partition("Sora's tables (")[2].partition(")")[0]

    assert set(re.findall(r"`(\w+)`", mounted)) == set(ENDPOINTS)
    assert set(re.findall(r"`(\w+)`", tables)) == set(Base.metadata.tables)
