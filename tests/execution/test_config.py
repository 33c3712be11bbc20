import pytest

from harness.errors import ConfigError
from harness.execution.cells import model_entries
from harness.execution.config import load_config, shipped_configs
from harness.plugin_api.discovery import discover


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configs_load_and_their_models_can_be_made(name):
    _, config = load_config(name)
    for entry in model_entries(config, discover()):
        assert entry.make().options is not None


def test_the_papers_schedule():
    _, config = load_config("paper")
    s = config.schedule
    assert (s.batch_size, s.epochs, s.learning_rate, s.augmentation) == (32, 200, 0.01, "sixfold")
    assert config.models["densenet"].options["dropout"] == 0.25


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("schedule.epoch=3", "unknown key 'schedule.epoch' - did you mean 'epochs'"),
        ("shedule=3", "did you mean 'schedule'"),
        ("schedule.epochs=0", "schedule.epochs"),
        ("schedule.epochs=many", "schedule.epochs"),
        ("magnifications=[50]", "magnifications"),
        ("seeds=[1,1]", "stands twice"),
        ("epochs", "expected key=value"),
    ],
)
def test_bad_overrides(override, message):
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        load_config("patient", (override,))


def test_a_config_name_with_a_typo():
    with pytest.raises(ConfigError, match="did you mean 'patient'"):
        load_config("pateint")


def test_short_form_and_labels_with_dots():
    _, config = load_config(
        "patient", ("models={timm:resnet18.a1_in1k: {}}", "models.timm:resnet18.a1_in1k.options.mode=probe")
    )
    assert config.model_of("timm:resnet18.a1_in1k") == ("timm", {"name": "resnet18.a1_in1k", "mode": "probe"})


def test_unknown_model_option():
    _, config = load_config("patient", ("models.densenet.options.dropuot=0.5",))
    with pytest.raises(ConfigError, match="did you mean 'dropout'"):
        model_entries(config, discover())
