import os

import pytest

from harness.config.config_files import load_config, shipped_configs
from harness.errors import ConfigError
from harness.planning.models import model_entries
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
        ("strata=[]", "strata"),
        ("strata=[200x,200x]", "stands twice"),
        ("seeds=[1,1]", "stands twice"),
        ("epochs", "expected key=value"),
        ("variants={one: {pixels.stian: none}}", "variant 'one': unknown key 'pixels.stian' - did you mean 'stain'"),
        ("variants={../one: {}}", "letters, digits, dots and dashes"),
        ("variants={tables: {}}", "not tables or figures"),
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


@pytest.mark.parametrize("letter", ["n", "ü"])
def test_labels_that_no_folder_can_bear(letter):
    _, config = load_config("patient", (f"models={{{letter * 300}: {{plugin: majority}}}}",))
    entries = letter == "ü" and model_entries(config, discover())  # other letters than ASCII are left out of names
    if letter == "n":
        with pytest.raises(ConfigError, match=r"has 300 characters, more than a folder's name can hold"):
            model_entries(config, discover())
    else:
        assert len(entries) == 1


def test_unknown_model_option():
    _, config = load_config("patient", ("models.densenet.options.dropuot=0.5",))
    with pytest.raises(ConfigError, match="did you mean 'dropout'"):
        model_entries(config, discover())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("schedule={epochs: 1, epochs: 2}", r"-o schedule: the value: the key 'epochs' stands twice"),
        ("seeds=!!python/object/apply:os.system [id]", "makes an object"),
        ("seeds=[1, 2", "-o seeds: the value is not YAML"),
        ("a." * 5000 + "b=1", "the key has more than 20 dots"),
        ("schedule.epochs.x.y=1", "'schedule.epochs' = "),
        ("seeds=" + "9" * 5000, "is too large"),
        ("threads=1000000000", "threads"),
        ("seeds=[-1]", "seeds.0"),
        ("seeds=[0, 4294967296]", "seeds.1"),
        ("cell_seconds=1e300", "cell_seconds"),
        ("cell_seconds=-1", "cell_seconds"),
        ("checkpoint_minutes=1e300", "checkpoint_minutes"),
        ("models.\udcff={}", "-o models. : the key is not UTF-8 text"),
        ("models={\udcff: {}}", "is not YAML"),
        ("device=cpu; rm -rf", "device"),
        ("device=cuda:99999999999999999999", "device"),
        ("limit=" + "x" * 50_000, r"x{50}.*\.\.\."),
        ("schedule.epochs=.nan", "schedule.epochs"),
        ("schedule.learning_rate=.inf", "schedule.learning_rate"),
        ("schedule={" + ", ".join(f"k{n}: 1" for n in range(500)) + "}", "and 490 more faults"),
    ],
)
def test_hostile_overrides(override, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config("patient", (override,))
    assert len(str(caught.value)) < 2000
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"models: {a: {}}\nmodels: {b: {}}", r"'models' stands twice \(line 2\)"),
        (b"models: caf\xe9", "is not UTF-8"),
        (b"#" * 1_000_001, "is larger than 1,000,000 bytes"),
        (b"- a", "holds no mapping"),
        (b"", "holds no mapping"),
        (b"models: {1: {}}", "a key is no text"),
        (b"models: &m {a: {options: *m}}", "contains itself"),
        (b"models: [densenet]", "models"),
        (b"models: 7", "models"),
        (b"models: {a: {options: 3}}", "models.a.options"),
        (b"protocol: [[]]\nmodels: {a: }", "protocol"),
    ],
)
def test_hostile_files(tmp_path, content, message):
    file = tmp_path / "sent.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_config(str(file))


def test_files_that_cannot_be_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for where in (tmp_path / "pipe.yaml", tmp_path, tmp_path / "absent.yaml"):
        with pytest.raises(ConfigError, match="no config"):
            load_config(str(where))
    with pytest.raises(ConfigError, match=r"cannot read n+: File name too long"):
        load_config("n" * 5000)


def test_a_name_that_would_lead_out_of_the_results(tmp_path):
    (tmp_path / "...yaml").write_text("models: {majority: {}}")
    with pytest.raises(ConfigError, match="no name that a run folder could bear"):
        load_config(str(tmp_path / "...yaml"))


def test_a_hostile_config_ends_with_exit_code_2_and_one_line(harness, tmp_path):
    (tmp_path / "sent.yaml").write_text('models: {"a\\u001b[31m": {}, "b\\u202e": 3}')
    code, out, err = harness("run", tmp_path / "sent.yaml")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.rstrip("\n").isprintable()


@pytest.mark.parametrize("text", ["!{} x", "&{} [*{}]"])
def test_a_message_is_no_longer_than_a_person_reads(text):
    with pytest.raises(ConfigError) as refused:
        load_config("patient", (f"seeds={text.replace('{}', '9' * 5000)}",))
    assert len(str(refused.value)) < 1000
