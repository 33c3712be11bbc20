"""Every parser of what somebody may send: how its inputs are made, and what it may answer.

An input is a pure function of a number, so a finding is its target's name and a number. Inputs begin as sound ones and
are spoilt. A target may return a value or refuse with one of its ``refusals``; anything else is a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import archives
import believed
import images
import run_folders
import texts
import weights

from harness.errors import HarnessError


@dataclass(frozen=True)
class Target:
    """A parser under test.

    Attributes:
        make: Makes an input.
        read: Reads it.
        refusals: What it may raise.
        share: Inputs in a recorded run, for each input of a parser that reads one small thing.
    """

    make: Callable[[Random], Any]
    read: Callable[[Any], object]
    refusals: tuple[type[Exception], ...] = (HarnessError,)
    share: float = 1.0

    def answer(self, number: int) -> str | None:
        """Read the input of a number; return its refusal, or None where it was accepted.

        Raises:
            Exception: Whatever is neither a value nor a refusal.
        """
        given = self.make(Random(number))
        try:
            self.read(given)
        except self.refusals as error:
            if type(error) is RuntimeError or isinstance(error, HarnessError):
                return str(error)
            raise
        return None


TARGETS = {
    "file names": Target(texts.make_name, texts.read_name, ()),
    "official list": Target(texts.make_official, texts.read_official),
    "groups.csv": Target(texts.make_groups, texts.read_groups),
    "configs": Target(texts.make_config, texts.read_whole_config),
    "overrides": Target(texts.make_override, texts.read_override),
    # decoding is asked file by file, and its callers list what it refuses
    "PNG and JPEG": Target(images.make_image, images.read_image, (RuntimeError,)),
    "archives": Target(archives.make_archive, archives.read_archive, (HarnessError, FileExistsError)),
    "weights": Target(weights.make_weights, weights.read_sent_weights),
    "folders of the cache": Target(believed.make_cached, believed.read_cached),
    "answers of a worker": Target(believed.make_answer, believed.read_answer),
    "run records": Target(run_folders.make_record, run_folders.read_json_file),
    "run tables": Target(run_folders.make_table, run_folders.read_table),
    "run folders": Target(run_folders.make_run, run_folders.read_run, share=0.01),
}
