import pytest

from harness.errors import PluginError, UsageError
from harness.plugin_api.discovery import discover

GOOD = """
from torch import nn
from harness import TorchModel, hookimpl

class Line(TorchModel):
    '''One linear layer.'''
    name = "line"
    def build(self, n_classes):
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, n_classes))

@hookimpl
def harness_register_models(register):
    register(Line)
"""


def plugin(tmp_path, text, name="mine.py"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_a_file_is_a_plugin(tmp_path):
    host = discover([plugin(tmp_path, GOOD)])
    assert host.find("line").distribution == "file"
    assert {"majority", "lbp-svm", "densenet", "densenet-se", "deep-transfer", "timm"} <= set(host.models)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing_of_the_kind", "No module named"),
        ("raise SystemExit(3)", "SystemExit"),
        ("x = 1", "registers no model"),
        (GOOD.replace("harness_register_models", "harness_register_model"), "unknown hook"),
        (GOOD.replace('name = "line"', ""), "has no name"),
        (GOOD.replace("def build", "def biuld"), "does not implement build"),
        (GOOD.replace('"line"', '"densenet"'), "both register a model named 'densenet'"),
    ],
)
def test_a_bad_file_is_refused_with_the_reason(tmp_path, text, reason):
    with pytest.raises(PluginError, match=reason):
        discover([plugin(tmp_path, text)])


def test_the_source_decides_the_hash(tmp_path):
    one = discover([plugin(tmp_path, GOOD)]).find("line").source
    two = discover([plugin(tmp_path, GOOD + "# changed\n")]).find("line").source
    assert one != two


def test_a_typo_is_answered_with_the_right_name():
    with pytest.raises(UsageError, match="did you mean 'densenet'"):
        discover().find("densnet")
