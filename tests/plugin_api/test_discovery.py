import sys
from pathlib import Path

import pytest

from harness.errors import PluginError, UsageError
from harness.plugin_api.discovery import discover, load_plugin

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
        (GOOD.replace('name = "line"', 'name = "line"; reproduces = 5'), "reproduces must be a text or None"),
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


def test_a_name_that_two_claim_is_nobodys(tmp_path):
    host = discover([plugin(tmp_path, GOOD.replace('"line"', '"densenet"'), "mine.py")])
    assert "densenet" not in host.models
    with pytest.raises(PluginError, match="breakhis-harness:densenet and mine:densenet both register") as told:
        host.find("densenet")
    assert told.value.exit_code == 4
    assert host.find("mine:densenet").plugin.file == tmp_path / "mine.py"
    assert host.find("breakhis-harness:densenet").plugin.module == "harness_plugins.densenet"
    assert host.rows_of_files() == {"mine:densenet": {"plugin": "mine:densenet"}}
    assert any("choose with 'plugin: breakhis-harness:densenet'" in trouble for trouble in host.troubles())


def test_three_claims_are_nobodys_either(tmp_path):
    files = [plugin(tmp_path, GOOD, f"{name}.py") for name in ("one", "two", "three")]
    host = discover(files)
    with pytest.raises(PluginError, match="one:line and two:line and three:line"):
        host.find("line")


def test_files_of_one_name_are_told_apart_or_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    files = [plugin(tmp_path / name, GOOD, "net.py") for name in ("a", "b")]
    host = discover(files)
    for name in ("line", "net:line"):
        with pytest.raises(PluginError, match=r"a/net\.py and .*b/net\.py both register .* rename one of the files"):
            host.find(name)
    again = discover([files[0], files[0], tmp_path / "b" / ".." / "a" / "net.py"])
    assert again.find("line").plugin.file == files[0]
    assert again.rows_of_files() == {"line": {}}


def test_code_that_a_plugin_imports_is_part_of_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lab").mkdir()
    for name, text in {
        "__init__": "",
        "layers": "from lab import deeper\n",
        "deeper": "RATE = 1\n",
        "unused": "",
        "lazy": "X = 1\n",
    }.items():
        (tmp_path / "lab" / f"{name}.py").write_text(text)
    text = "import numpy\nfrom lab.layers import deeper\n" + GOOD + "def later():\n    import lab.lazy\n"
    found = discover([plugin(tmp_path, text)]).find("line")
    assert set(found.files) == {"mine", "lab", "lab.layers", "lab.deeper", "lab.lazy"}
    for name, changes in {"deeper": True, "lazy": True, "unused": False}.items():
        (tmp_path / "lab" / f"{name}.py").write_text("RATE = 2\n")
        again = discover([tmp_path / "mine.py"]).find("line")
        assert (again.source != found.source) is changes
        found = again
    for name in [name for name in sys.modules if name.partition(".")[0] == "lab"]:
        del sys.modules[name]


def test_what_is_installed_beside_is_no_code_of_the_authors(tmp_path, monkeypatch):
    libraries = tmp_path / "libraries"
    (libraries / "vast-1.0.dist-info").mkdir(parents=True)
    (libraries / "vast.py").write_text("import numpy\n")
    monkeypatch.syspath_prepend(libraries)
    found = discover([plugin(tmp_path, "import vast\n" + GOOD)]).find("line")
    assert set(found.files) == {"mine"}
    sys.modules.pop("vast", None)


def test_a_plugin_that_changes_the_folder_changes_it_for_nobody(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    discover([plugin(tmp_path, 'import os\nos.chdir("/")\n' + GOOD)])
    assert Path.cwd() == tmp_path


def test_a_plugin_that_is_edited_while_the_run_goes_on_is_refused(tmp_path):
    file = plugin(tmp_path, GOOD)
    registered = discover([file]).find("line")
    assert load_plugin(registered.plugin).refuse_other_source(registered.source).models
    plugin(tmp_path, GOOD + "# changed\n")
    with pytest.raises(PluginError, match="is not what the run was begun with"):
        load_plugin(registered.plugin).refuse_other_source(registered.source)


@pytest.fixture
def loud(tmp_path, monkeypatch):
    """An installed plugin whose import can be told from ``sys.modules``."""
    (tmp_path / "loud_plugin.py").write_text(GOOD.replace('"line"', '"loud"'))
    info = tmp_path / "loud-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\nloud = loud_plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "loud_plugin"
    sys.modules.pop("loud_plugin", None)


def test_the_environment_says_which_installed_plugins_are_loaded(loud, monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "densenet, majority")
    host = discover()
    assert set(host.models) == {"densenet", "densenet-se", "majority"}
    assert {"loud", "timm"} <= set(host.left_out)
    assert loud not in sys.modules
    with pytest.raises(UsageError, match=r"HARNESS_PLUGINS leaves out .*loud"):
        host.find("loud")
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    assert discover().find("loud").distribution == "loud 1.0"
    assert loud in sys.modules


def test_no_installed_plugin_at_all_but_the_files_given(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "none")
    assert discover().models == {}
    assert set(discover([plugin(tmp_path, GOOD)]).models) == {"line"}


@pytest.mark.parametrize("value", ["densnet", "majority,densnet", "none,densnet"])
def test_the_environment_must_name_what_is_installed(monkeypatch, value):
    monkeypatch.setenv("HARNESS_PLUGINS", value)
    with pytest.raises(UsageError, match=r"HARNESS_PLUGINS names 'densnet'.*did you mean 'densenet'"):
        discover()
