"""Settings: where they are looked for, how they are cast, and that no secret is ever shown."""

from __future__ import annotations

import base64
from dataclasses import fields, replace
from pathlib import Path

import pytest

from sora.config import DEVELOPMENT_FILE, Config, load, read_development, require_secrets, variable
from sora.errors import ConfigError

KEY = "k1:" + base64.b64encode(bytes(range(32))).decode()
SECRETS = {
    "SORA_JWT_SECRET": "jwt-secret-of-32-characters-or-more",
    "SORA_ENCRYPTION_KEYS": KEY,
    "SORA_OPENAI_API_KEY": "sk-a-key-that-nobody-may-see",
}


def of(**environ: str) -> Config:
    return load(environ={variable(name): value for name, value in environ.items()})


def test_everything_has_a_default_but_secrets() -> None:
    config = load(environ={})

    assert config == Config()
    for entry in fields(Config):
        if entry.metadata["secret"]:
            assert not getattr(config, entry.name)


@pytest.mark.parametrize("entry", fields(Config), ids=lambda entry: entry.name)
def test_every_setting_is_read_from_its_variable(entry: object) -> None:
    name, default, choices = entry.name, entry.default, entry.metadata["choices"]  # type: ignore[attr-defined]
    given: object
    if choices:
        given = text = choices[-1]
    elif isinstance(default, tuple):
        given, text = ("a", "b c"), " a , b c,"
    elif isinstance(default, str):
        given, text = "말", " 말 "
    elif isinstance(default, bool):
        given, text = True, " ON "
    else:
        given, text = type(default)(7), " 7 "

    value = getattr(of(**{name: text}), name)

    assert value == given
    assert type(value) is type(default)


def test_numbers_are_cast() -> None:
    config = of(heartbeat="1.5", max_runs="0", journal_interval="0.05")

    assert (config.heartbeat, config.max_runs, config.journal_interval) == (1.5, 0, 0.05)


def test_a_mapping_may_give_what_is_cast_already() -> None:
    config = load({"SORA_FALLBACK_MODELS": ["a", "b"], "SORA_HEARTBEAT": 3, "SORA_MODEL": "m"}, environ={})

    assert (config.fallback_models, config.heartbeat, config.model) == (("a", "b"), 3.0, "m")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("heartbeat", "soon"),
        ("heartbeat", "nan"),
        ("lease", "inf"),
        ("lease", "-1"),
        ("max_runs", "1.5"),
        ("max_runs", "-1"),
        ("trusted_proxies", "one"),
        ("background", "maybe"),
        ("auth", "none"),
        ("locale", "KO"),
        ("on_disconnect", "stop"),
        ("jwt_key_derivation", "md5"),
    ],
)
def test_a_bad_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{variable(name)} must .*{value}"):
        of(**{name: value})


def test_what_cannot_be_a_list_names_its_variable() -> None:
    with pytest.raises(ConfigError, match=r"^SORA_FALLBACK_MODELS must "):
        load({"SORA_FALLBACK_MODELS": 5}, environ={})


def test_a_choice_says_what_there_is_to_choose() -> None:
    with pytest.raises(ConfigError, match="must be one of continue, cancel, not 'stop'"):
        of(on_disconnect="stop")


@pytest.mark.parametrize("url", ["sora.db", "mysql://sora:pass-word@db/sora", "pass-word"])
def test_a_database_that_cannot_be_used_is_refused_by_name_alone(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^SORA_DATABASE_URL must ") as refusal:
        _ = of(database_url=url).database
    assert "pass-word" not in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u:p@db/sora", "postgresql+psycopg2://u:p@db/sora"),
        (
            "postgresql://u@db:5433/sora?sslmode=require",
            "postgresql+psycopg2://u@db:5433/sora?sslmode=require",
        ),
        ("postgresql+psycopg2://db/sora", "postgresql+psycopg2://db/sora"),
        ("sqlite:////var/lib/sora.db", "sqlite:////var/lib/sora.db"),
    ],
)
def test_a_database_url_gets_the_driver_that_sora_ships(given: str, used: str) -> None:
    assert of(database_url=given).database == used


def test_without_a_database_url_sqlite_lies_under_the_instance_path(tmp_path: Path) -> None:
    config = of(instance_path=str(tmp_path / "here"))

    assert config.instance == tmp_path / "here"
    assert config.database == f"sqlite:///{tmp_path / 'here' / 'sora.db'}"


# -- where settings come from ------------------------------------------------------------------------------------------


def test_the_environment_comes_before_the_mapping_before_development(tmp_path: Path) -> None:
    (tmp_path / DEVELOPMENT_FILE).write_text(
        "# made by flask sora serve\n\nSORA_MODEL=third\nSORA_LOCALE=en\nSORA_HEARTBEAT=3\nSORA_PROMPT_T=a=b\n",
        "utf-8",
    )
    config = load(
        {"SORA_MODEL": "second", "SORA_LOCALE": "ko", "SORA_INSTANCE_PATH": str(tmp_path)},
        environ={"SORA_MODEL": "first"},
        development=True,
    )

    assert (config.model, config.locale, config.heartbeat, config.prompt_t) == ("first", "ko", 3.0, "a=b")


def test_a_server_started_otherwise_knows_nothing_of_development(tmp_path: Path) -> None:
    (tmp_path / DEVELOPMENT_FILE).write_text("SORA_AUTH=guest\n", "utf-8")

    assert load(environ={"SORA_INSTANCE_PATH": str(tmp_path)}).auth == "required"


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    config = load({"SORA_MODEL": "given"}, environ={"SORA_MODEL": "", "SORA_HEARTBEAT": ""})

    assert (config.model, config.heartbeat) == ("given", Config().heartbeat)


def test_there_need_be_no_development_settings(tmp_path: Path) -> None:
    assert read_development(tmp_path) == {}
    assert load(environ={"SORA_INSTANCE_PATH": str(tmp_path / "nowhere")}).model == Config().model


def test_the_environment_is_the_process_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORA_MODEL", "from outside")

    assert load().model == "from outside"


def test_the_standard_names_of_openai_are_honoured_after_our_own() -> None:
    standard = {"OPENAI_API_KEY": "sk-standard", "OPENAI_BASE_URL": "https://standard"}
    config = load(environ=standard)
    ours = load(
        environ={**standard, "SORA_OPENAI_API_KEY": "sk-ours", "SORA_OPENAI_BASE_URL": "https://ours"}
    )

    assert (config.openai_api_key, config.openai_base_url) == ("sk-standard", "https://standard")
    assert (ours.openai_api_key, ours.openai_base_url) == ("sk-ours", "https://ours")


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_rows_are_the_whole_table_with_secrets_hidden() -> None:
    rows = list(load(environ={**SECRETS, "SORA_FALLBACK_MODELS": "a,b"}).rows())
    shown = {name: value for name, value, _ in rows}

    assert [name for name, *_ in rows] == [variable(entry.name) for entry in fields(Config)]
    assert all(help for *_, help in rows)
    assert {shown[name] for name in SECRETS} == {"(set)"}
    assert shown["SORA_FALLBACK_MODELS"] == "a,b"
    assert {value for name, value, _ in Config().rows() if name in SECRETS} == {"(not set)"}


def test_no_secret_is_in_a_representation() -> None:
    config = load(environ=SECRETS)
    for text in (repr(config), str(config), str(list(config.rows())), repr({"config": config})):
        assert not any(secret in text for secret in SECRETS.values())
    assert "gpt-4.1-mini" in repr(config)


@pytest.mark.parametrize("name", ["database_url", "openai_base_url"])
def test_a_password_in_an_address_is_hidden(name: str) -> None:
    config = of(**{name: "postgresql://sora:p%40ss-word@db:5432/sora"})

    assert {row[0]: row[1] for row in config.rows()}[variable(name)] == "postgresql://sora:***@db:5432/sora"
    assert "ss-word" not in repr(config)
    assert "p%40ss-word" in getattr(config, name)


def test_a_password_among_an_address_s_parameters_is_hidden() -> None:
    config = of(database_url="postgresql://db/sora?user=u&password=pass-word&sslmode=require")

    assert "pass-word" not in repr(config)
    assert "postgresql://db/sora?user=u&password=***&sslmode=require" in repr(config)


@pytest.mark.parametrize("name", [entry.name for entry in fields(Config) if entry.metadata["secret"]])
def test_a_bad_secret_is_not_repeated(name: str) -> None:
    class Odd:
        def __str__(self) -> str:
            raise ValueError("hush-hush")

        __repr__ = __str__

    with pytest.raises(ConfigError, match=f"^{variable(name)} must .* the value given$"):
        load({variable(name): [Odd()] if name == "encryption_keys" else Odd()}, environ={})


def test_a_start_without_secrets_says_what_to_set() -> None:
    with pytest.raises(ConfigError) as refusal:
        require_secrets(Config())

    assert all(name in str(refusal.value) for name in SECRETS)
    assert "make run" in str(refusal.value)


@pytest.mark.parametrize("missing", SECRETS)
def test_only_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        require_secrets(load(environ={name: value for name, value in SECRETS.items() if name != missing}))

    assert [name for name in SECRETS if name in str(refusal.value)] == [missing]
    assert not any(secret in str(refusal.value) for secret in SECRETS.values())


def test_a_start_with_its_secrets_goes_on() -> None:
    config = load(environ=SECRETS)

    require_secrets(config)
    require_secrets(replace(config, openai_api_key="", openai_base_url="http://127.0.0.1:1"))


@pytest.mark.parametrize("name", ["jwt_public_key", "jwt_jwks_url"])
def test_one_way_to_verify_tokens_is_enough_but_guests_need_ours(name: str) -> None:
    config = replace(load(environ=SECRETS), **{"jwt_secret": "", name: "given"})  # type: ignore[arg-type]

    require_secrets(config)
    with pytest.raises(ConfigError, match="SORA_JWT_SECRET"):
        require_secrets(replace(config, auth="guest"))


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "SORA_APP_SERVER_URL"),
        (
            {"app_server_url": "http://app/api/reviews", "jwt_secret": "", "jwt_jwks_url": "https://i/k"},
            "SORA_APP_SERVER_TOKEN",
        ),
    ],
)
def test_an_app_server_needs_an_address_and_something_to_be_let_in_by(
    given: dict[str, str], missing: str
) -> None:
    config = replace(load(environ=SECRETS), save_to="http", **given)  # type: ignore[arg-type]

    with pytest.raises(ConfigError) as refusal:
        require_secrets(config)

    assert f"  {missing} is not set" in str(refusal.value) and str(refusal.value).count("is not set") == 1
    require_secrets(replace(config, app_server_url="http://app/api/reviews", app_server_token="t"))
