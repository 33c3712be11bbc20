import pytest

from harness.config.config_files import load_config, read_config
from harness.config.run_config import parse_config
from harness.errors import ConfigError

CONFIG = {"models": {"majority": {}}}


def test_a_key_of_an_earlier_version_is_understood_and_told():
    told = []
    _, config = load_config("demo", ("engine=compiled",), told.append)
    assert config.schedule.execution_mode == "compiled"
    assert config.schedule.epochs == load_config("demo")[1].schedule.epochs
    assert told == ["demo: 'engine' is called 'schedule.execution_mode' now; the next version will not know 'engine'"]


@pytest.mark.parametrize(
    ("content", "override"),
    [
        (b"engine: compiled", "schedule.execution_mode=eager"),
        (b"schedule: {execution_mode: compiled}", "engine=eager"),
        (b"engine: compiled", "engine=eager"),
    ],
)
def test_an_override_wins_whichever_name_the_file_uses(content, override):
    config = read_config(b"models: {majority: {}}\n" + content, (override,), "file", "file")
    assert config.schedule.execution_mode == "eager"


def test_in_a_variant_too():
    told = []
    content = b"models: {majority: {}}\nvariants: {one: {}, two: {engine: eager}}\n"
    config = read_config(content, (), "study", "study", told.append)
    assert config.runs()["two"].schedule.execution_mode == "eager"
    assert len(told) == 1


def test_the_present_key_is_not_told():
    told = []
    load_config("demo", ("schedule.execution_mode=eager",), told.append)
    assert told == []


@pytest.mark.parametrize("schedule", [3.0, "x", [1]])
def test_a_schedule_that_is_none_is_refused_as_ever(schedule):
    with pytest.raises(ConfigError, match="schedule"):
        parse_config({**CONFIG, "engine": "eager", "schedule": schedule}, "here")


def test_what_is_given_stays_as_it_is():
    given = {**CONFIG, "engine": "eager", "schedule": {"epochs": 3}}
    parse_config(given, "here")
    assert given["schedule"] == {"epochs": 3}
