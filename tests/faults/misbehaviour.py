"""Plugins that misbehave, each in its own way, and the reason that a person should read."""

from __future__ import annotations

from dataclasses import dataclass

_PLUGIN = '''
import ctypes, faulthandler, os, pickle, signal, subprocess, sys, threading
from pathlib import Path
import numpy as np
import torch
from harness import EpochReport, Model, ModelCard, hookimpl

faulthandler.disable()

class Bomb:
    """Whoever unpickles it leaves a file."""
    def __reduce__(self):
        return Path.touch, (Path("exploded"),)

class Bad(Model):
    name = "{name}"
    def fit(self, train, validation, context):
        self.report = context.report
        {fit}
    def predict_proba(self, images):
        good = np.tile([0.25, 0.75], (len(images), 1))
        {predict}
        return good
    def describe(self):
        return {card}
    def save(self, folder):
        {save}
        (folder / "model.txt").write_text("nothing")
    def load(self, folder, device, n_classes):
        pass

@hookimpl
def harness_register_models(register):
    register(Bad)
'''
_EPOCH = "EpochReport('final', 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, {images}, 1.0)"


@dataclass(frozen=True)
class Misbehaviour:
    """What a plugin does in each of its methods, and a regular expression for the reason that is told."""

    reason: str
    fit: str = "pass"
    predict: str = "pass"
    save: str = "pass"
    card: str = "ModelCard()"

    def source(self, name: str) -> str:
        return _PLUGIN.format(name=name, fit=self.fit, predict=self.predict, save=self.save, card=self.card)


MISBEHAVIOURS = {
    "raises": Misbehaviour("^ValueError: no such layer$", fit="raise ValueError('no such layer\\nas was asked for')"),
    "crashes": Misbehaviour("crashed: killed by SIGSEGV", fit="ctypes.string_at(0)"),
    "aborts": Misbehaviour("crashed: killed by SIGABRT", fit="os.abort()"),
    "killed": Misbehaviour("killed from outside .SIGKILL", fit="os.kill(os.getpid(), signal.SIGKILL)"),
    "memory": Misbehaviour("out of memory on the CPU: MemoryError", fit="bytearray(1 << 60)"),
    "device-memory": Misbehaviour("out of memory on the device", fit="raise torch.OutOfMemoryError('CUDA is full')"),
    "exits": Misbehaviour(r"called sys\.exit\(3\)", fit="sys.exit(3)"),
    "exits-at-once": Misbehaviour("exited with code 7", fit="os._exit(7)"),
    "interrupts": Misbehaviour("^KeyboardInterrupt$", fit="raise KeyboardInterrupt"),
    "prints": Misbehaviour(
        "^RuntimeError: hoarse$",
        fit="[os.write(1, b'x' * 99_999 + b'\\n') for _ in range(300)]; raise RuntimeError('hoarse')",
    ),
    "shape": Misbehaviour(r"shape \(\d+, 3\)", predict="good = good[:, [0, 1, 1]]"),
    "flat": Misbehaviour(r"shape \(\d+,\)", predict="good = good[:, 0]"),
    "few-rows": Misbehaviour(r"shape \(\d+, 2\) for \d+ images", predict="good = good[1:]"),
    "not-finite": Misbehaviour("not finite", predict="good[0] = np.nan"),
    "no-probabilities": Misbehaviour("must sum to 1", predict="good *= 2"),
    "negative": Misbehaviour("none be negative", predict="good[0] = [-1, 2]"),
    "no-array": Misbehaviour("a dict, which is no array of numbers", predict="good = {'benign': 1.0}"),
    "bomb": Misbehaviour("a Bomb, which is no array of numbers", predict="good = Bomb()"),
    "bomb-in-report": Misbehaviour(
        "a Bomb where a number or text belongs", fit=f"self.report({_EPOCH.format(images='Bomb()')})"
    ),
    "bomb-in-card": Misbehaviour("a Bomb where a number or text belongs", card="ModelCard(parameters=Bomb())"),
    "bomb-on-the-line": Misbehaviour(
        "something that is no answer|wanted to send more",
        fit="bomb = pickle.dumps(Bomb()); message = len(bomb).to_bytes(8, 'big') + bomb\n"
        "        for number in range(3, 64):\n"
        "            try: os.write(number, message)\n"
        "            except OSError: pass",
    ),
    "no-report": Misbehaviour(r"takes a harness\.EpochReport, not dict", fit="self.report({'epoch': 1})"),
    "vast-report": Misbehaviour("beyond 62 bits", fit=f"self.report({_EPOCH.format(images='10 ** 30')})"),
    "no-card": Misbehaviour(r"must return a harness\.ModelCard, not dict", card="{'parameters': 4}"),
    "saves-a-pipe": Misbehaviour("neither a file nor a folder", save="os.mkfifo(folder / 'pipe')"),
    "saves-a-link": Misbehaviour("neither a file nor a folder", save="(folder / 'link').symlink_to('/etc/passwd')"),
    "saves-a-second-name": Misbehaviour(
        "another file's second name", save="os.link(Path(__file__), folder / 'linked')"
    ),
    "saves-elsewhere": Misbehaviour(
        "something else in the place of the folder",
        save="folder.rmdir(); folder.symlink_to(Path(__file__).parent); return",
    ),
    "saves-over-its-folder": Misbehaviour(
        "something else in the place of the folder", save="folder.rmdir(); folder.write_text('x'); return"
    ),
    "removes-its-folder": Misbehaviour("has removed the folder", save="folder.rmdir(); return"),
    "removes-the-cell": Misbehaviour(
        "has removed the folder", save="__import__('shutil').rmtree(folder.parent); return"
    ),
    "saves-a-name-that-is-no-text": Misbehaviour(
        "whose name is not in UTF-8", save="open(os.fsencode(folder) + b'/model-\\xff.bin', 'w').close()"
    ),
    "negative-card": Misbehaviour("cannot be stored: .*'parameters'", card="ModelCard(parameters=-1)"),
    "vast-card": Misbehaviour("cannot be stored: .*'weights_bytes'", card="ModelCard(weights_bytes=10 ** 16)"),
    "timeless-report": Misbehaviour(
        "cannot be stored: .*'train_seconds'",
        fit="self.report(EpochReport('final', 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1, float('nan')))",
    ),
    "vast-shape": Misbehaviour(
        "faulty 'fitted': validation",
        fit='message = b\'fitted\\n\' + b\'{"validation": [1000000000000000000, 0], "test": [0, 0], "card": {}, \''
        ' + b\'"fit_seconds": 1.0, "predict_seconds": 1.0, "peak_memory_bytes": 1}\\n\'\n'
        "        for number in range(3, 64):\n"
        "            try: os.write(number, len(message).to_bytes(8, 'big') + message)\n"
        "            except OSError: pass",
    ),
    "saves-a-record": Misbehaviour("the harness's own file", save="(folder / 'cell.json').write_text('{}')"),
    "hangs-up": Misbehaviour(
        "closed the worker process's connection", fit="os.closerange(3, 256); threading.Event().wait()"
    ),
    "kills-its-parent": Misbehaviour(
        "watches over the plugin is gone", fit="os.kill(os.getppid(), signal.SIGKILL); threading.Event().wait()"
    ),
    "leaves-children": Misbehaviour(
        "^RuntimeError: orphans$",
        fit="subprocess.Popen(['sh', '-c', 'setsid sleep 999 & sleep 999 & wait'], start_new_session=True);"
        " raise RuntimeError('orphans')",
    ),
    "full-disk": Misbehaviour("No space left on device", save="raise OSError(28, 'No space left on device')"),
}
HANGS = Misbehaviour("ended after 5 s, the config's cell_seconds", fit="threading.Event().wait()")
