"""Personas: who answers a diary. THINKING (T) is frank, FEELING (F) is warm; each is a replaceable prompt."""

from __future__ import annotations

import datetime as dt
from importlib import resources
from pathlib import Path

from sora.config import Config, variable
from sora.errors import ConfigError

_SETTINGS = {"FEELING": "prompt_f", "THINKING": "prompt_t"}
_NAMELESS = {"ko": "작성자", "en": "the writer"}
_MAX_NAME = 64  # a name comes out of a token: long enough for people, too short for another prompt


class Personas:
    """The system prompts of both personas, in Korean and English, read once.

    SORA_PROMPT_T and SORA_PROMPT_F replace a built-in prompt, whole and in both languages: a text, or the
    path of a file. In any prompt `{name}`, `{date}` and `{care}` stand for the writer's name, the diary's
    date and the built-in rules for diaries in which care comes first. Raises ConfigError for a file that is
    not there, cannot be read, or is empty.
    """

    def __init__(self, config: Config) -> None:
        self._prompts: dict[tuple[str, str], str] = {}
        for locale in _NAMELESS:
            care = _built_in("care", locale)
            for persona, setting in _SETTINGS.items():
                own = _given(getattr(config, setting), setting=setting)
                prompt = own or _built_in(persona.lower(), locale)
                self._prompts[persona, locale] = prompt.replace("{care}", care)

    def prompt(self, persona: str, *, locale: str, name: str, date: dt.date) -> str:
        """The system prompt of a type for this writer. An empty name becomes a neutral form of address."""
        # One line, so that a name cannot pass for a paragraph of the prompt.
        shown = " ".join(name.split())[:_MAX_NAME] or _NAMELESS[locale]
        return self._prompts[persona, locale].replace("{date}", date.isoformat()).replace("{name}", shown)


def _built_in(name: str, locale: str) -> str:
    file = resources.files("sora.pipelines.prompts") / f"{name}.{locale}.txt"
    return file.read_text("utf-8").strip()


def _given(value: str, *, setting: str) -> str:
    """A setting's own text, or the text of the file it is the path of; empty when it is not set."""
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
