"""Personas: who answers a diary. THINKING (T) is frank, FEELING (F) is warm; each is a replaceable prompt."""

from __future__ import annotations

import datetime as dt

from sora.config import Config
from sora.pipelines.prompts import built_in, given

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
            care = built_in("care", locale)
            for persona, setting in _SETTINGS.items():
                own = given(getattr(config, setting), setting=setting)
                prompt = own or built_in(persona.lower(), locale)
                self._prompts[persona, locale] = prompt.replace("{care}", care)

    def prompt(self, persona: str, *, locale: str, name: str, date: dt.date) -> str:
        """The system prompt of a type for this writer. An empty name becomes a neutral form of address."""
        shown = called(name, locale=locale)
        return self._prompts[persona, locale].replace("{date}", date.isoformat()).replace("{name}", shown)


def called(name: str, *, locale: str) -> str:
    """The name a prompt may hold: one line, so that it cannot pass for a paragraph; a neutral address for an empty one."""
    return " ".join(name.split())[:_MAX_NAME] or _NAMELESS[locale]
