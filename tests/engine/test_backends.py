"""Backends: the same results wherever jobs run, and none lost with a worker."""

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import torch
from grids import CPU, jobs, specs

from mibench.engine.backends.base import WorkerLostError, execute
from mibench.engine.backends.local import Local
from mibench.engine.backends.processes import Processes, Worker
from mibench.engine.jobs import Job
from mibench.errors import UsageError


@dataclass(frozen=True)
class Numbers(Job[int]):
    """A job whose results are numbers; it can be told how to go wrong, each time it is run."""

    numbers: tuple[int, ...]
    folder: Path
    seconds: float = 0.0
    deadly: tuple[int, ...] = ()
    times: int = 1
    failing: tuple[int, ...] = ()

    @property
    def work(self):
        return float(len(self.numbers))

    @property
    def label(self):
        return f"numbers {self.numbers}"

    def run(self, device, report):
        report(self.work / 2)
        time.sleep(self.seconds)
        for number in self.numbers:
            died = len(list(self.folder.glob(f"{number}-*")))
            if number in self.deadly and died < self.times:
                (self.folder / f"{number}-{died}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if number in self.failing:
                raise UsageError(f"{number} is wrong.", "Give another.")
        report(self.work / 2)
        return list(self.numbers)

    def _part(self, numbers):
        return Numbers(numbers, self.folder, self.seconds, self.deadly, self.times, self.failing)

    def halves(self):
        middle = len(self.numbers) // 2
        return [self._part(part) for part in (self.numbers[:middle], self.numbers[middle:]) if part]

    def singles(self):
        return [self._part((number,)) for number in self.numbers]

    def failed(self, error):
        return [-number for number in self.numbers]


@dataclass
class Account:
    """What was reported."""

    done: float = 0.0
    calls: list[float] = field(default_factory=list)

    def __call__(self, work):
        self.done += work
        self.calls.append(work)


def results(jobs_, backend, report=float):
    return [found for results_ in execute(jobs_, backend, CPU, report) for found in results_]


def values(outcomes):
    return {outcome.spec.key: (outcome.status, outcome.readout.estimate) for outcome in outcomes}


def test_processes_give_the_numbers_of_one_process():
    chosen = jobs(specs("infonce smile", seeds=range(2), steps=5), 1)
    assert len(chosen) > 2
    account = Account()
    there = values(results(chosen, Processes(2), account))
    assert there == values(results(chosen, Local()))
    assert account.done == pytest.approx(sum(job.work for job in chosen))


def test_workers_of_another_process_share_the_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(8)
    try:
        assert [Processes(workers).threads for workers in (1, 2, 3, 16)] == [8, 4, 2, 1]
    finally:
        torch.set_num_threads(before)


def test_a_killed_worker_costs_its_job_a_repetition(tmp_path):
    chosen = [Numbers((n,), tmp_path, deadly=(3,)) for n in range(1, 6)]
    account = Account()
    assert sorted(results(chosen, Processes(2), account)) == [1, 2, 3, 4, 5]
    assert len(list(tmp_path.iterdir())) == 1
    assert account.done == pytest.approx(5)  # what was done in vain is taken back


def test_what_kills_every_worker_fails_alone(tmp_path, caplog):
    (job,) = [Numbers((1, 2, 3, 4), tmp_path, deadly=(3,), times=99)]
    assert sorted(results([job], Processes(2))) == [-3, 1, 2, 4]
    # The whole twice, then the half with it twice, then it alone twice.
    assert len(list(tmp_path.iterdir())) == 6
    assert "SIGKILL" in caplog.text or "signal 9" in caplog.text


def test_an_error_of_a_job_comes_back_with_its_traceback(tmp_path, caplog):
    chosen = [Numbers((1, 2), tmp_path, failing=(2,))]
    assert sorted(results(chosen, Processes(2))) == [-2, 1]
    (logged,) = caplog.records
    error = logged.exc_info[1]
    assert isinstance(error, UsageError)
    assert "in run" in "".join(error.__notes__)


def test_what_a_job_prints_is_no_result():
    assert results([Printing((7,), Path())], Processes(1)) == [7]


class Printing(Numbers):
    def run(self, device, report):
        print("not a pickle")
        os.write(1, b"nor this")
        return list(self.numbers)


def test_workers_end_with_the_one_who_asked_for_them(tmp_path):
    ours = psutil.Process()
    before = set(ours.children())
    done = execute([Numbers((n,), tmp_path, seconds=60.0 * (n > 1)) for n in (1, 2, 3)], Processes(2), CPU)
    assert next(done) == [1]
    started = set(ours.children()) - before
    assert len(started) == 2
    done.close()
    assert not [child for child in started if child.is_running() and child.status() != "zombie"]
    assert threading.active_count() < 10


def test_a_job_that_cannot_be_pickled_fails_alone(tmp_path, caplog):
    class Inner(Numbers):
        pass

    chosen = [Inner((1,), tmp_path), Numbers((2,), tmp_path)]
    assert sorted(results(chosen, Processes(2))) == [-1, 2]


@pytest.mark.parametrize("workers", [0, -1, 1.5])
def test_a_number_of_workers_that_is_none_is_refused(workers):
    with pytest.raises(UsageError, match="workers of 'processes' must be"):
        Processes(workers)


def test_a_lost_worker_is_told_by_what_ended_it(tmp_path):
    worker = Worker(1, CPU)
    worker.start()
    found = worker.run(Numbers((1,), tmp_path, deadly=(1,), times=1), float)
    assert isinstance(found, WorkerLostError)
    assert "was killed by signal 9 (Killed) while it ran numbers (1,)" in str(found)
    worker.start()
    assert worker.run(Numbers((1,), tmp_path, deadly=(1,), times=1), float) == [1]
    worker.stop()
    assert isinstance(worker.run(Numbers((1,), tmp_path), float), WorkerLostError)


@pytest.mark.parametrize("backend", [Local(), Processes(2)])
def test_the_work_of_all_jobs_is_reported_once_however_they_end(backend, tmp_path, caplog):
    chosen = [Numbers((1, 2), tmp_path, failing=(2,)), Numbers((3,), tmp_path)]
    account = Account()
    assert sorted(results(chosen, backend, account)) == [-2, 1, 3]
    assert account.done == pytest.approx(3)


def test_where_no_worker_can_be_started_the_run_ends(tmp_path, monkeypatch):
    def start(worker):
        raise OSError("too many open files")

    monkeypatch.setattr(Worker, "start", start)
    with pytest.raises(UsageError, match="No worker can be started: too many open files"):
        results([Numbers((n,), tmp_path) for n in range(4)], Processes(2))


def test_one_worker_that_cannot_be_started_leaves_its_job_to_the_others(tmp_path, monkeypatch):
    original, tried = Worker.start, []

    def start(worker):
        tried.append(worker)
        if tried[0] is worker:
            raise OSError("too many open files")
        original(worker)

    monkeypatch.setattr(Worker, "start", start)
    assert sorted(results([Numbers((n,), tmp_path) for n in range(4)], Processes(2))) == [0, 1, 2, 3]


class Unreadable(Numbers):
    """A job whose results cannot be made again where they are read."""

    def run(self, device, report):
        return [Unpicklable()]


class Unpicklable:
    def __reduce__(self):
        return (_fail_outside_of_workers, ())


def _fail_outside_of_workers():
    raise AttributeError("no such thing here")


def test_an_answer_that_cannot_be_read_is_that_of_a_lost_worker(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("mibench.engine.backends.processes.LAST_SECONDS", 0.1)
    assert results([Unreadable((1,), tmp_path)], Processes(1)) == [-1]
    assert "gave an answer that cannot be read (AttributeError: no such thing here)" in caplog.text


class Reading(Numbers):
    """A job that starts a program which reads its input."""

    def run(self, device, report):
        return [len(subprocess.run(["cat"], capture_output=True, timeout=30, check=True).stdout)]


def test_what_a_job_starts_reads_no_jobs(tmp_path):
    assert results([Reading((1,), tmp_path), Numbers((2,), tmp_path)], Processes(1)) == [0, 2]


def test_modules_of_the_current_folder_are_none_of_a_worker(tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise RuntimeError('not this one')")
    monkeypatch.chdir(tmp_path)
    assert results([Numbers((1,), tmp_path)], Processes(1)) == [1]
