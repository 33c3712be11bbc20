"""Generated images are kept by what they show."""

import pytest

from harness.cache import Cache
from harness.config.config_files import load_config
from harness.data.manifest import image_files
from harness.planning.image_set import generated_folder

PLANNED = """
import harness

class Pictures(harness.DataSet):
    name = "breakhis"
    classes = ("benign", "malignant")
    groups = ("patient",)

    def generated(self, groups, images, *, like_published):
        for number in range({first}, {first} + 2):
            yield harness.GeneratedSlide(f"{{number}}.png", str(number), "A", "A", "ductal carcinoma", 200)


@harness.hookimpl
def harness_register_data_sets(register):
    register(Pictures)
"""


@pytest.fixture
def generated(tmp_path):
    """The folder of what a plugin's data set plans, once its file says so."""
    plugin, cache = tmp_path / "pictures.py", Cache(tmp_path / "cache", print)

    def folder(first):
        plugin.write_text(PLANNED.format(first=first))
        overrides = (f"data.plugin={plugin}", "data.phantom={size: 16}", "data.set=breakhis")
        return generated_folder(load_config("demo", overrides)[1].data, cache)

    return folder


def test_a_plugin_that_plans_other_pictures_gets_them(generated):
    folders = [generated(first=1), generated(first=7), generated(first=1)]
    assert [[path.name for path in image_files(folder)] for folder in folders] == [
        ["1.png", "2.png"],
        ["7.png", "8.png"],
        ["1.png", "2.png"],
    ]
    assert folders[0] == folders[2]
