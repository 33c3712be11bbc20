import pytest

from harness.errors import ConfigError
from harness.execution.cells import model_entries
from harness.execution.config import load_config, shipped_configs
from harness.plugin_api.discovery import discover


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configs_load_and_their_models_can_be_made(name):
    _, config = load_config(name)
    host = discover()
    for run in config.runs().values() or (config,):
        for entry in model_entries(run, host):
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
        ("variants={one: {pixels.stian: none}}", "variant 'one': unknown key 'pixels.stian' - did you mean 'stain'"),
        ("variants={../one: {}}", "letters, digits, dots and dashes"),
        ("variants={tables: {}}", "not 'tables'"),
        ("variants={one: {protocols: [holdout, official5]}}", "a variant is one run"),
        ("variants={one: {reference: gone}}", "variant 'one': reference 'gone' is no model"),
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


def test_variants_are_the_config_with_overrides():
    _, config = load_config(
        "patient", ("variants={one: {}, two.5: {schedule.epochs: 3, models.densenet.options.dropout: 0.5}}",)
    )
    runs = config.runs()
    assert list(runs) == ["one", "two.5"]
    assert config.study == "variants"
    assert runs["one"] == config.model_copy(update={"variants": None})
    assert runs["two.5"].schedule == config.schedule.model_copy(update={"epochs": 3})
    assert runs["two.5"].models["densenet"].options == {"dropout": 0.5}
    assert all(run.study is None for run in runs.values())


def test_an_override_inside_a_variant_adds_to_it():
    variants = "variants={one: {}, two.5: {pixels.stain: none}}"
    _, config = load_config("patient", (variants, "variants.two.5.pixels.size=32", "pixels.resize=crop"))
    pixels = config.runs()["two.5"].pixels
    assert (pixels.stain, pixels.size, pixels.resize) == ("none", 32, "crop")


def test_a_study_is_of_protocols_or_of_variants(tmp_path):
    both = tmp_path / "both.yaml"
    both.write_text("{protocols: [holdout, official5], variants: {one: {}}, models: {majority: {}}}")
    with pytest.raises(ConfigError, match="both protocols and variants"):
        load_config(str(both))
    assert load_config("leak", ("variants={one: {}}",))[1].study == "variants"
    assert load_config("leak", ("variants={one: {}}", "protocols=[holdout, official5]"))[1].study == "protocols"
    assert load_config("leak", ("protocol=holdout",))[1].study is None


def test_unknown_model_option():
    _, config = load_config("patient", ("models.densenet.options.dropuot=0.5",))
    with pytest.raises(ConfigError, match="did you mean 'dropout'"):
        model_entries(config, discover())
