"""Every setting of Sora in one table: the fields of `Config`.

A setting is read from the environment (`SORA_` and the field's name in capitals), else from the mapping given
(Flask's `app.config`, same names), else it has its default. Secrets have no default. `flask sora serve` keeps
development settings under the instance path; only its own commands read them, never a server that is started otherwise.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from sora.errors import ConfigError

PREFIX = "SORA_"
DEVELOPMENT_FILE = "development.env"
_WORDS = {
    "1": True,
    "true": True,
    "on": True,
    "yes": True,
    "0": False,
    "false": False,
    "off": False,
    "no": False,
}
_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):\S*@|(?<=[?&]password=)[^&\s]*")


def _setting(default: Any, help: str, *, secret: bool = False, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"help": help, "secret": secret, "choices": choices})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings, checked and cast. `load` makes one; `replace` (dataclasses) varies one in tests. Its repr shows no secret."""

    instance_path: str = _setting(
        "instance", "Folder for all that is written: SQLite file, spool, metrics, development secrets."
    )
    database_url: str = _setting("", "sqlite:///… or postgresql://…; empty: SQLite under the instance path.")
    database_pool: int = _setting(5, "Database connections per worker.")
    database_timeout: float = _setting(10.0, "Seconds a database call may take (PostgreSQL).")
    encryption_keys: tuple[str, ...] = _setting(
        (),
        "Keys for data at rest: id:base64 of 32 bytes, comma-separated. The first writes, all read.",
        secret=True,
    )

    auth: str = _setting(
        "required",
        "required: a valid token on every request; guest: development, one tenant.",
        choices=("required", "guest"),
    )
    jwt_secret: str = _setting(
        "", "Secret that signs the access tokens (HS256), 32 bytes at least.", secret=True
    )
    jwt_key_derivation: str = _setting(
        "none",
        "sha256: the HMAC key is the SHA-256 of the secret (the Spring original).",
        choices=("none", "sha256"),
    )
    jwt_old_secrets: tuple[str, ...] = _setting(
        (),
        "Earlier SORA_JWT_SECRETs, comma-separated: they sign nothing more, but still verify.",
        secret=True,
    )
    jwt_public_key: str = _setting(
        "",
        "Another issuer's public key (RS256, or ES256): PEM text, or the path of a file.",
        secret=True,  # it is none, but what is put here by mistake is a private one
    )
    jwt_jwks_url: str = _setting("", "Another issuer's keys (RS256, ES256): the URL of its JWKS document.")
    jwt_issuer: tuple[str, ...] = _setting((), "Every token's iss must be one of these; empty: any.")
    jwt_audience: tuple[str, ...] = _setting(
        (), "Every token's aud must name one of these; empty: a token with an aud is refused."
    )
    jwt_leeway: float = _setting(30.0, "Seconds of clock difference tolerated in tokens.")
    jwt_required_claims: tuple[str, ...] = _setting(("exp",), "Claims that a token must have.")
    jwt_owner_claim: tuple[str, ...] = _setting(
        ("uuid", "sub", "username"),
        "The claim that tells whose a token is: the first of these that is a text.",
    )
    jwt_name_claim: tuple[str, ...] = _setting(
        ("username", "name"), "The claim that holds the user's name, likewise."
    )
    jwt_role_claim: tuple[str, ...] = _setting(("role",), "The claim that holds the user's role, likewise.")
    session_cookie: str = _setting("sora_session", "Name of the session cookie.")
    login_url: str = _setting("", "Where the app sends people to sign in; empty: they give it a token.")
    allowed_origins: tuple[str, ...] = _setting(
        (), "Other origins whose pages may use the API (CORS), each written out: https://app.example.com."
    )
    trusted_proxies: int = _setting(0, "How many proxies in front set X-Forwarded-For, -Proto and -Host.")

    openai_api_key: str = _setting("", "Key of the model API (OPENAI_API_KEY is honoured).", secret=True)
    openai_base_url: str = _setting(
        "", "Base URL of any OpenAI-compatible server (OPENAI_BASE_URL is honoured)."
    )
    openai_api: str = _setting(
        "chat",
        "What answers are asked of: chat (Chat Completions) or responses. A web search always is of responses.",
        choices=("chat", "responses"),
    )
    background: bool = _setting(
        False,
        "1: Responses make answers in the background, so that another worker can go on with a dead one's (docs/operations.md).",
    )
    model: str = _setting("gpt-4.1-mini", "The model.")
    fallback_models: tuple[str, ...] = _setting(
        (), "Models tried in this order when the first fails before its first token."
    )
    web_search_context: str = _setting(
        "high",
        "How much of what a web search finds the model reads: low, medium or high.",
        choices=("low", "medium", "high"),
    )
    dify_base_url: str = _setting(
        "", "Base URL of Dify's API, such as https://api.dify.ai/v1, for /stream/review/dify."
    )
    dify_key_t: str = _setting("", "API key of the Dify app that is persona T (frank advice).", secret=True)
    dify_key_f: str = _setting("", "API key of the Dify app that is persona F (empathy).", secret=True)
    embedding_model: str = _setting(
        "", "The model for embeddings, such as text-embedding-3-small; empty: none."
    )
    embedding_similarity: float = _setting(
        0.3, "Cosine from which a passage is near to a question, though it has other words; models differ."
    )
    temperature: float = _setting(0.7, "Sampling temperature.")
    top_p: float = _setting(0.9, "Nucleus sampling.")
    review_max_tokens: int = _setting(1000, "Output tokens of a review.")
    chat_max_tokens: int = _setting(1000, "Output tokens of a chat's answer.")
    ask_max_tokens: int = _setting(
        4096, "Output tokens of an answer to /api/ask where the request does not say."
    )
    ask_model_full: str = _setting(
        "", "The model of /api/ask-4-1; empty: gpt-4.1 at OpenAI itself, else SORA_MODEL."
    )
    ask_model_mini: str = _setting(
        "", "The model of /api/ask-4-1-mini; empty: gpt-4.1-mini at OpenAI itself, else SORA_MODEL."
    )
    agent_graph: str = _setting(
        "", "The agent's LangGraph graph, package.module:graph; empty: the built-in one (docs/agent.md)."
    )
    agent_models: tuple[str, ...] = _setting(
        (), "Models that a request to the agent may name besides SORA_MODEL, comma-separated."
    )
    agent_max_tokens: int = _setting(
        1000, "Output tokens of the agent's answer where the request does not say."
    )
    agent_timeout: float = _setting(60.0, "Seconds for a whole run of the agent.")
    context_tokens: int = _setting(
        16_000, "Tokens sent to the model, as Sora counts them: prompt, history and question."
    )
    connect_timeout: float = _setting(5.0, "Seconds to connect to the model.")
    first_token_timeout: float = _setting(30.0, "Seconds to the first token.")
    gap_timeout: float = _setting(30.0, "Seconds between two tokens.")
    total_timeout: float = _setting(120.0, "Seconds for a whole answer.")
    provider_retries: int = _setting(2, "Further tries of a model before its first token.")
    coalesce: float = _setting(
        0.0, "Seconds in which further tokens are gathered, to leave together; 0: each leaves as it comes."
    )

    prompt_t: str = _setting(
        "",
        "Prompt of persona T (frank advice): the text, or the path of a file; {name} is the writer's name.",
    )
    prompt_f: str = _setting("", "Prompt of persona F (empathy), likewise.")
    prompt_chat: str = _setting("", "Prompt of the chat: the text, or the path of a file.")
    frontend: str = _setting("", "Folder of the built app; empty: frontend/dist beside the package.")
    locale: str = _setting("ko", "Language where the request does not say.", choices=("ko", "en"))

    on_disconnect: str = _setting(
        "",
        "When the last reader leaves: continue or cancel; empty: the kind's own default.",
        choices=("", "continue", "cancel"),
    )
    orphan_grace: float = _setting(
        10.0,
        "Seconds without a reader before a run that should end with its client is cancelled; beside other workers 2.5 at least.",
    )
    max_runs: int = _setting(9500, "Unfinished runs per worker; 0: no limit.")
    max_runs_per_principal: int = _setting(0, "Unfinished runs per user and worker; 0: no limit.")
    max_request_bytes: int = _setting(1_048_576, "Bytes of a request body.")
    max_diary_length: int = _setting(20_000, "Characters of a diary entry.")
    upload_roles: tuple[str, ...] = _setting(
        ("ADMIN", "ROLE_ADMIN"),
        "Roles that may put documents into their own knowledge base over HTTP; *: any.",
    )
    max_files: int = _setting(10, "Files of a request.")
    max_file_size: int = _setting(20_971_520, "Bytes of a file.")
    max_file_text: int = _setting(
        1_000_000, "Characters of a file's text; a file with more is refused, not cut."
    )
    file_timeout: float = _setting(30.0, "Seconds to read the files of a request.")
    max_message_length: int = _setting(
        100_000, "Characters of a message to the model, and of each of its history."
    )

    save_to: str = _setting(
        "database",
        "Where finished reviews go: database, or http: posted to SORA_APP_SERVER_URL.",
        choices=("database", "http"),
    )
    app_server_url: str = _setting("", "The whole URL that reviews are posted to: https://…/api/reviews.")
    app_server_token: str = _setting(
        "",
        "Bearer token for it where SORA_JWT_SECRET, which makes the user's own, is not set.",
        secret=True,
    )
    app_server_timeout: float = _setting(10.0, "Seconds to wait for its answer.")
    outbox_backoff_max: float = _setting(60.0, "Seconds between two tries of a delivery, at most.")

    journal_interval: float = _setting(0.25, "Seconds between two writes of the journal.")
    lease: float = _setting(10.0, "Seconds without a sign of life after which a worker is given up.")
    run_ttl: float = _setting(3600.0, "Seconds a finished run's log is kept.")
    ticket_ttl: float = _setting(60.0, "Seconds in which a ticket must be used first.")
    heartbeat: float = _setting(15.0, "Seconds of silence before a heartbeat.")
    send_timeout: float = _setting(30.0, "Seconds after which a client that stops reading is dropped.")
    graceful_timeout: int = _setting(30, "Seconds a worker has to finish its streams when it is told to go.")

    @property
    def database(self) -> str:
        """The database URL as SQLAlchemy wants it, with the driver Sora ships."""
        url = self.database_url or f"sqlite:///{self.instance.resolve() / 'sora.db'}"
        scheme, separator, rest = url.partition("://")
        if not separator or not scheme.startswith(("sqlite", "postgres")):
            raise ConfigError(
                "SORA_DATABASE_URL must be sqlite:///… or postgresql://…"
            )  # it may hold a password
        if scheme in ("postgres", "postgresql"):
            # SQLAlchemy 2.1 reads a bare postgresql:// as psycopg 3, which Sora does not ship.
            return f"postgresql+psycopg2://{rest}"
        return url

    @property
    def instance(self) -> Path:
        return Path(self.instance_path)

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """(variable, value with secrets hidden, help) of every setting, in the table's order."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            shown = ",".join(value) if isinstance(value, tuple) else str(value)
            if entry.metadata["secret"]:
                shown = "(set)" if value else "(not set)"
            else:
                shown = _PASSWORD.sub(lambda found: "***" if found[1] is None else f"{found[1]}:***@", shown)
            yield variable(entry.name), shown, entry.metadata["help"]

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={shown}' for name, shown, _ in self.rows())})"


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def load(
    given: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    development: bool = False,
) -> Config:
    """Read and check the settings; `development` adds those that `flask sora serve` has made for itself.

    Raises ConfigError, which names the variable, for a value that cannot be used.
    """
    environ = os.environ if environ is None else environ
    sources: list[Mapping[str, Any]] = [environ, given or {}]
    if development:
        instance = _first(sources, "instance_path") or Config.__dataclass_fields__["instance_path"].default
        sources.append(read_development(Path(str(instance))))
    hints = get_type_hints(Config)
    values: dict[str, Any] = {}
    for entry in fields(Config):
        raw = _first(sources, entry.name)
        if raw is not None:
            values[entry.name] = _cast(entry, hints[entry.name], raw)
    config = Config(**values)
    key = config.openai_api_key or environ.get("OPENAI_API_KEY", "")
    url = config.openai_base_url or environ.get("OPENAI_BASE_URL", "")
    return replace(config, openai_api_key=key, openai_base_url=url)


def require_secrets(config: Config, *, tokens: bool = True, model: bool = True) -> None:
    """Stop a start that lacks a secret, with words that say what to set: one for `tokens`, one for the `model` API, unless
    the application needs none. Raises ConfigError."""
    missing = [
        (
            tokens and not config.jwt_secret and (config.auth == "guest" or not _other_issuer(config)),
            "SORA_JWT_SECRET",
            "32 random characters or more"
            + (
                "" if config.auth == "guest" else "; or SORA_JWT_PUBLIC_KEY or SORA_JWT_JWKS_URL of an issuer"
            ),
        ),
        (not config.encryption_keys, "SORA_ENCRYPTION_KEYS", "for example k1:$(openssl rand -base64 32)"),
        (
            model and not (config.openai_api_key or config.openai_base_url),
            "SORA_OPENAI_API_KEY",
            "or SORA_OPENAI_BASE_URL of a server that needs no key",
        ),
        (
            config.save_to == "http" and not config.app_server_url,
            "SORA_APP_SERVER_URL",
            "where SORA_SAVE_TO=http posts reviews",
        ),
        (
            config.save_to == "http" and not (config.jwt_secret or config.app_server_token),
            "SORA_APP_SERVER_TOKEN",
            "or SORA_JWT_SECRET: what the app server lets us in by",
        ),
    ]
    lines = [f"  {name} is not set ({hint})" for absent, name, hint in missing if absent]
    if lines:
        raise ConfigError(
            "Sora cannot start:\n"
            + "\n".join(lines)
            + "\nFor development use `make run`, which makes its own."
        )


def _other_issuer(config: Config) -> bool:
    return bool(config.jwt_public_key or config.jwt_jwks_url)


def read_development(instance: Path) -> dict[str, str]:
    """The development settings kept under the instance path: NAME=value lines. Empty when there are none."""
    try:
        lines = (instance / DEVELOPMENT_FILE).read_text("utf-8").splitlines()
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def _first(sources: list[Mapping[str, Any]], name: str) -> Any:
    for source in sources:
        value = source.get(variable(name))
        if value is not None and value != "":
            return value
    return None


def _cast(entry: Field[Any], hint: Any, raw: Any) -> Any:
    name = variable(entry.name)
    try:
        value: Any
        if get_origin(hint) is tuple:
            items = raw.split(",") if isinstance(raw, str) else raw
            value = tuple(get_args(hint)[0](item).strip() for item in items if str(item).strip())
        elif hint is bool:
            value = _WORDS[str(raw).strip().lower()]
        else:
            value = hint(raw.strip() if isinstance(raw, str) else raw)
    except KeyError:
        raise ConfigError(f"{name} must be 1 or 0, not {_shown(entry, raw)}") from None
    except (TypeError, ValueError):
        raise ConfigError(
            f"{name} must be a {getattr(hint, '__name__', hint)}, not {_shown(entry, raw)}"
        ) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number, it is {raw}")
    if isinstance(value, int | float) and value < 0:
        raise ConfigError(f"{name} must not be negative, it is {raw}")
    choices = entry.metadata["choices"]
    if choices and value not in choices:
        raise ConfigError(
            f"{name} must be one of {', '.join(c for c in choices if c)}, not {_shown(entry, raw)}"
        )
    return value


def _shown(entry: Field[Any], raw: Any) -> str:
    return "the value given" if entry.metadata["secret"] else repr(raw)
