"""Several workers at once: each has its own time to say something."""

import threading
import time
from multiprocessing import Pipe

from harness.workers.handle import ask_all
from harness.workers.messages import Failure, FeaturesMade, ImagesDone, Tried


class FakeWorker:
    """Says what it is told to, so many seconds after it was asked."""

    def __init__(self, *sayings):
        self.connection, self._theirs = Pipe()
        self._sayings, self.ended = sayings, False

    def send(self, _task):
        def speak():
            for seconds, saying in self._sayings:
                time.sleep(seconds)
                self._theirs.send(saying)

        threading.Thread(target=speak, daemon=True).start()

    def receive(self):
        return self.connection.recv()

    def kill(self):
        self.ended = True


def asked(workers, at_once, seconds):
    heard = []
    answers = ask_all([(lambda one=one: one, "task") for one in workers], at_once, heard.append, seconds)
    return list(answers), heard


def test_answers_come_with_the_places_of_their_tasks():
    workers = [FakeWorker((0.1, ImagesDone(3)), (0, Tried())), FakeWorker((0, FeaturesMade()))]
    answers, heard = asked(workers, 2, 10)
    assert answers == [(1, FeaturesMade()), (0, Tried())]
    assert heard == [ImagesDone(3)]
    assert all(worker.ended for worker in workers)


def test_one_that_is_silent_costs_its_own_task_alone():
    silent, talking = FakeWorker(), FakeWorker((0.1, ImagesDone(1)), (0.1, ImagesDone(1)), (0.1, Tried()))
    answers, _ = asked([silent, talking, FakeWorker((0, Tried()))], 1, 0.5)
    assert answers == [(0, Failure("silent for 0.5 s")), (1, Tried()), (2, Tried())]
    assert silent.ended


def test_whoever_listens_no_longer_ends_all_workers():
    workers = [FakeWorker((0, Tried())), FakeWorker()]
    answers = ask_all([(lambda one=one: one, "task") for one in workers], 2, lambda _: None, 10)
    assert next(answers) == (0, Tried())
    answers.close()
    assert all(worker.ended for worker in workers)
