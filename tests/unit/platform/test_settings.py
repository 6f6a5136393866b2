from __future__ import annotations

from pathlib import Path

import pytest

from evolvent.events.errors import ConfigInvalid
from evolvent.platform.environment import check_names
from evolvent.platform.settings import Settings, load_settings
from evolvent.platform.settings_check import problems

KEY = "sk-very-secret-0123456789"


def test_with_nothing_set_the_defaults_hold() -> None:
    settings = load_settings(environment={})
    assert (settings.profile, settings.durability, settings.logs.format) == ("development", "power", "console")
    assert settings.orchestrator.max_concurrent_runs == 10
    assert settings.loader.max_active_agents == 50
    assert settings.tools.allowed_folders == ()


def test_nested_names_in_the_environment_reach_their_section() -> None:
    settings = load_settings(
        environment={
            "EVOLVENT_ORCHESTRATOR__MAX_CONCURRENT_RUNS": "77",
            "EVOLVENT_BUDGET__MAX_DAILY_COST": "2.5",
            "EVOLVENT_PRICES": '{"my-model": {"input": 2.5, "output": 10}}',
            "EVOLVENT_DATA_DIR": "/somewhere/else",
            "EVOLVENT_TOOLS__ALLOWED_FOLDERS": '["/var/log"]',
        }
    )
    assert settings.orchestrator.max_concurrent_runs == 77
    assert settings.budgets.max_daily_cost == 2.5
    assert settings.budgets.prices == {"my-model": {"input": 2.5, "output": 10}}
    assert settings.data_dir == Path("/somewhere/else")
    assert settings.tools.allowed_folders == (Path("/var/log"),)


def test_the_names_of_the_mission_are_settings_too_and_our_own_name_wins() -> None:
    settings = load_settings(
        environment={
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
            "DEFAULT_MODEL": "small",
            "MAX_CONCURRENT_AGENTS": "3",
            "PROMETHEUS_ENABLED": "false",
            "EVOLVENT_TOOL_MODULES": "one.tools, two.tools",
            "EVOLVENT_ORCHESTRATOR__MAX_CONCURRENT_RUNS": "4",
        }
    )
    assert settings.model.api_key is not None
    assert settings.model.api_key.get_secret_value() == KEY
    assert settings.loader.default_model == "small"
    assert settings.orchestrator.max_concurrent_runs == 4
    assert not settings.metrics.enabled
    assert settings.tools.modules == ("one.tools", "two.tools")
    assert load_settings(environment={"EVOLVENT_MODEL": "gpt-x", "DEFAULT_MODEL": "y"}).loader.default_model == "gpt-x"


@pytest.mark.parametrize("name", ["evolvent.toml", "evolvent.yaml"])
def test_a_file_is_overlaid_by_its_profile_and_by_the_environment(tmp_path: Path, name: str) -> None:
    toml = "[loader]\nmax_active_agents = 5\nmax_tokens = 10\n[profiles.staging.loader]\nmax_tokens = 20\n"
    yaml = "loader:\n  max_active_agents: 5\n  max_tokens: 10\nprofiles:\n  staging:\n    loader: {max_tokens: 20}\n"
    file = tmp_path / name
    file.write_text(toml if name.endswith("toml") else yaml)
    assert load_settings(config=file, environment={}).loader.max_tokens == 10
    staging = load_settings(config=file, environment={}, overrides={"profile": "staging"})
    assert (staging.loader.max_tokens, staging.loader.max_active_agents) == (20, 5)
    assert staging.logs.format == "json"
    environment = {"EVOLVENT_CONFIG": str(file), "EVOLVENT_PROFILE": "staging", "EVOLVENT_LOADER__MAX_TOKENS": "30"}
    assert load_settings(environment=environment).loader.max_tokens == 30


def test_what_the_command_line_says_beats_everything_and_silence_says_nothing() -> None:
    environment = {"EVOLVENT_DATA_DIR": "/a", "EVOLVENT_DURABILITY": "process"}
    settings = load_settings(environment=environment, overrides={"data_dir": Path("/b"), "durability": None})
    assert (settings.data_dir, settings.durability) == (Path("/b"), "process")


def test_every_wrong_setting_is_named_at_once_without_its_value() -> None:
    environment = {
        "EVOLVENT_DURABILITY": KEY,
        "EVOLVENT_LOADER__MAX_TOKENS": "none",
        "EVOLVENT_METRICS__PORT": "70000",
    }
    with pytest.raises(ConfigInvalid) as caught:
        load_settings(environment=environment)
    message = str(caught.value)
    for name in environment:
        assert name in message
    assert KEY not in message


@pytest.mark.parametrize(
    ("text", "name"), [("loader = [", "x.toml"), ("a: [", "x.yaml"), ("x", "x.ini"), ("- 1", "x.yml")]
)
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigInvalid, match=name):
        load_settings(config=tmp_path / name, environment={})
    with pytest.raises(ConfigInvalid, match=r"missing\.toml"):
        load_settings(config=tmp_path / "missing.toml", environment={})


def test_a_typing_error_in_a_name_is_reported_with_the_nearest_name() -> None:
    [problem] = check_names(["EVOLVENT_LOADER__MAX_ACTIV_AGENTS", "EVOLVENT_CONFIG", "PATH"], Settings)
    assert "EVOLVENT_LOADER__MAX_ACTIVE_AGENTS" in problem.remedy
    assert check_names(["EVOLVENT_PRICES__MY_MODEL"], Settings) == []
    [known] = check_names(["ENABLE_AUTH"], Settings)
    assert "changes nothing" in known.what


def test_no_dump_of_the_settings_holds_a_secret() -> None:
    environment = {
        "OPENAI_API_KEY": KEY,
        "EVOLVENT_NATS": f"nats://a:{KEY}@host:4222",
        "EVOLVENT_DATABASE": f"postgresql://a:{KEY}@host/db",
    }
    settings = load_settings(environment=environment)
    assert KEY not in settings.model_dump_json()
    assert KEY not in repr(settings)
    assert all(KEY in secret for secret in settings.secrets())


def test_problems_are_listed_all_at_once_and_production_is_stricter() -> None:
    environment = {
        "EVOLVENT_MODEL": "nobody-knows-this",
        "EVOLVENT_DURABILITY": "process",
        "EVOLVENT_TOOLS__ALLOWED_FOLDERS": '["/no/such/folder"]',
        "EVOLVENT_BUDGET__POLICY": "cheaper_model",
    }
    found = problems(load_settings(environment=environment), environment)
    assert {p.where for p in found} == {
        "model",
        "loader.default_model",
        "durability",
        "tools.allowed_folders",
        "budget.policy",
    }
    assert {p.where for p in found if not p.is_warning} == {"tools.allowed_folders", "budget.policy"}
    strict = problems(load_settings(environment={**environment, "EVOLVENT_PROFILE": "production"}), {})
    assert {"model", "loader.default_model"} <= {p.where for p in strict if not p.is_warning}


def test_the_log_source_is_set_and_its_token_is_a_secret() -> None:
    token = "splunk-token-0123456789"
    settings = load_settings(
        environment={
            "EVOLVENT_TOOLS__LOGS__SOURCE": "splunk",
            "EVOLVENT_TOOLS__LOGS__SPLUNK_URL": "http://splunk.example:8089",
            "EVOLVENT_TOOLS__LOGS__SPLUNK_TOKEN": token,
        }
    )
    assert settings.secrets() == (token,)
    assert token not in settings.model_dump_json()
    assert [problem.where for problem in problems(settings, {}) if "https" in problem.what] == ["tools.logs"]
    missing = load_settings(environment={"EVOLVENT_TOOLS__LOGS__FOLDERS": '["/nowhere/at/all"]'})
    assert "tools.logs.folders" in [problem.where for problem in problems(missing, {})]
