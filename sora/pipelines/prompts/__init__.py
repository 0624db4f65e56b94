"""The built-in prompts, one for each purpose and language, and what the settings put in their place."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from sora.config import variable
from sora.errors import ConfigError


def built_in(name: str, locale: str) -> str:
    """A prompt of our own; `locale` is ko or en."""
    return (resources.files(__name__) / f"{name}.{locale}.txt").read_text("utf-8").strip()


def given(value: str, *, setting: str) -> str:
    """A setting's own text, or the text of the file it is the path of; empty when it is not set. Raises ConfigError for a file
    that is not there, cannot be read, or is empty."""
    if not _may_be_a_path(value):
        return value
    try:
        text = Path(value).expanduser().read_text("utf-8").strip()
    except FileNotFoundError:
        if not _must_be_a_path(value):
            return value
        raise ConfigError(f"{variable(setting)} names a file that is not there") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{variable(setting)}: {type(error).__name__} when reading the file") from None
    if not text:
        raise ConfigError(f"{variable(setting)} names a file that is empty")
    return text


def _may_be_a_path(value: str) -> bool:
    return 0 < len(value.encode()) < 255 and value.isprintable()


def _must_be_a_path(value: str) -> bool:
    """Whether nobody would write this as a prompt."""
    named = value.endswith((".txt", ".md")) and " " not in value
    return named or value.startswith(("/", "./", "../", "~/"))
