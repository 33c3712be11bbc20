"""What the machine has and what it lacks."""

import json
import subprocess
import sys

import pytest


@pytest.fixture
def doctor(harness, tmp_path, monkeypatch):
    """Ask for the findings: ``doctor()`` gives (exit code, finding by name)."""
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path / "results"))
    monkeypatch.delenv("HARNESS_PLUGINS", raising=False)

    def ask():
        code, out, _ = harness("doctor", "--json")
        answer = json.loads(out)
        assert answer["ready"] == (code == 0)
        # breakhis is a plugin and a folder of images; the folder is meant
        in_order = sorted(answer["findings"], key=lambda finding: finding["section"] == "images")
        return code, {finding["name"]: finding for finding in in_order}

    return ask


def test_all_that_is_needed_is_there(doctor, harness):
    code, found = doctor()
    assert code == 0
    assert {found[name]["state"] for name in ("Python", "memory", "torch", "pandas", "cache", "results")} == {"ok"}
    code, out, _ = harness("doctor")
    assert code == 0
    assert out.endswith("All that is needed is there.\n")
    assert all(name in out for name in found)


def test_images_and_how_to_get_them(doctor, tmp_path):
    _, found = doctor()
    assert found["breakhis"]["state"] == "absent"
    assert "harness data fetch breakhis" in found["breakhis"]["mend"]
    for name in ("breakhis", "lung"):
        (tmp_path / "no-data" / name / "class").mkdir(parents=True)
    code, found = doctor()
    assert code == 0
    assert found["breakhis"]["state"] == "ok"
    assert found["natural"]["state"] == "absent"
    assert "groups.csv" in found["lung"]["mend"]
    (tmp_path / "no-data/lung/groups.csv").touch()
    assert doctor()[1]["lung"]["state"] == "ok"


def test_libraries_that_are_missing_or_too_old(doctor, harness, monkeypatch):
    declared = ["nothing-of-the-kind>=2", "numpy>=99.1", "click>=8.1", 'no-such-engine>=1; extra == "far"']
    monkeypatch.setattr("harness.diagnostics.requirements.requires", lambda _: declared)
    code, found = doctor()
    assert code == 3
    assert found["click"]["state"] == "ok"
    assert (found["nothing-of-the-kind"]["state"], found["numpy"]["state"]) == ("missing", "missing")
    assert found["numpy"]["mend"] == "pip install 'numpy>=99.1'"
    assert (found["[far]"]["state"], found["[far]"]["mend"]) == ("absent", "pip install 'breakhis-harness[far]'")
    out = harness("doctor")[1]
    assert "MISSING   numpy" in out
    assert "pip install 'numpy>=99.1'" in out


@pytest.mark.parametrize("library", ["torch", "psutil", "platformdirs"])
def test_a_broken_library_costs_only_its_own_lines(doctor, monkeypatch, library):
    if library == "platformdirs":
        monkeypatch.delitem(sys.modules, "harness.locations", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    code, found = doctor()
    assert code == 3
    assert {"Python", "click", "densenet"} <= set(found)
    assert any(finding["state"] == "missing" and library in finding["detail"] for finding in found.values())


def test_a_folder_that_cannot_be_written(doctor, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HARNESS_RESULTS", str(tmp_path / "file" / "runs"))
    code, found = doctor()
    assert code == 3
    assert found["results"]["state"] == "missing"
    assert "HARNESS_RESULTS" in found["results"]["mend"]
    assert found["cache"]["state"] == "ok"


def test_cuda_devices_with_their_memory(doctor, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda index: ((index + 1) * 10**9, 80 * 10**9))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda index: f"card {index}")
    code, found = doctor()
    assert code == 0
    assert found["cuda:1"]["detail"] == "card 1, 80.0 GB, 2.0 GB free"


def test_no_compiler(doctor, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    code, found = doctor()
    assert code == 0
    assert found["C++ compiler"]["state"] == "absent"


def test_plugins_that_the_environment_leaves_out(doctor, monkeypatch):
    monkeypatch.setenv("HARNESS_PLUGINS", "densenet")
    code, found = doctor()
    assert code == 0
    assert found["densenet"]["state"] == "ok"
    assert found["majority"]["state"] == "left out"
    monkeypatch.setenv("HARNESS_PLUGINS", "densnet")
    code, found = doctor()
    assert code == 3
    assert "did you mean 'densenet'" in found["plugins"]["detail"]


def test_no_plugin_is_imported():
    script = (
        "import sys; from harness.diagnostics.doctor import examine; examine(); "
        "sys.exit(any(name.startswith(('harness_plugins', 'harness_baselines')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
