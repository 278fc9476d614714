"""Coverage-guided fuzzing of one reader of files, with atheris (libFuzzer).

python tests/proofs/fuzz.py READER RUNS FOLDER

The folder keeps the corpus, which a later call goes on from, and the file that failed. A run fails
by an exception that the reader does not document, by a crash, by more than a second of processor
time, or by more memory than ten times the file and 50 MB.
"""

import faulthandler
import gc
import os
import random
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["crnn", "zipfile"], enable_loader_override=False):
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import hostile

MAX_LENGTH = 1 << 15
SECONDS, FACTOR, EXTRA = 1.0, 10, 50 << 20
# What libFuzzer itself takes for its corpus, and the allocator keeps
SLACK = 1 << 30
# Seconds between two reports of the numbers so far
REPORT = 10.0
# Share of the mutations that begin with a seed: libFuzzer prefers files that are refused early
FRESH = 0.4
PAGE = os.sysconf("SC_PAGE_SIZE")


class Trial:
    """Reads one file after another, and counts what came of it."""

    def __init__(self, name, runs, folder):
        self.name, self.reader, self.runs = name, hostile.READERS[name], runs
        self.path = folder / "file"
        self.outcomes, self.slowest, self.most = Counter(), 0.0, 0
        self.next_report = time.monotonic() + REPORT
        self.statm = os.open("/proc/self/statm", os.O_RDONLY)

    def __call__(self, data):
        data = bytes(data)
        self.path.write_bytes(data)
        # What the mutation has taken is none of the reader's.
        self.peak = _highest()
        before, start = self._resident(), time.process_time()
        try:
            self.reader.read(self.path)
        except self.reader.documented as error:
            assert str(error), "an error without a sentence"  # noqa: PT017
            self.outcomes["refused"] += 1
        else:
            self.outcomes["read"] += 1
        seconds = time.process_time() - start
        # The highest memory ever: what a run adds to it, it has taken.
        peak = _highest()
        taken = max(0, peak - before) if peak > self.peak else 0
        self.slowest, self.most = max(self.slowest, seconds), max(self.most, taken)
        assert seconds <= SECONDS, f"{seconds:.1f} s for {len(data)} bytes"
        assert taken <= FACTOR * len(data) + EXTRA, f"{taken >> 20} MB for {len(data)} bytes"
        count = self.outcomes.total()
        if time.monotonic() > self.next_report or count == self.runs:
            self.report()
            self.next_report = time.monotonic() + REPORT

    def warm_up(self, seeds):
        """Read the seeds, which imports what readers import, and limit the memory from then on."""
        for seed in seeds:
            self.path.write_bytes(seed)
            try:
                self.reader.read(self.path)
            except self.reader.documented:
                continue
        # Collections go through all that was imported, which takes a tenth of a second.
        gc.collect()
        gc.freeze()
        size = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE
        limit = size + FACTOR * MAX_LENGTH + EXTRA + SLACK
        # Memory that is asked for and never touched is found by this.
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))

    def report(self):
        """Print the numbers so far."""
        print(
            f"{self.name}: {self.outcomes.total()} runs, {self.outcomes['read']} read, "
            f"{self.outcomes['refused']} refused, slowest {self.slowest:.3f} s, most memory "
            f"{self.most / 2**20:.1f} MB",
            flush=True,
        )

    def _resident(self):
        return int(os.pread(self.statm, 100, 0).split()[1]) * PAGE


def _highest():
    """The most memory that the process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    """Fuzz a reader for so many runs."""
    faulthandler.enable()
    name, runs, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]) / sys.argv[1]
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    trial = Trial(name, runs, folder)
    seeds = trial.reader.seeds(folder)
    for number, seed in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(seed)
    trial.warm_up(seeds)

    def mutate(data, max_size, seed):
        rng = random.Random(seed)
        if rng.random() < FRESH:
            data = rng.choice(seeds)

        def raw(content):
            return atheris.Mutate(content or b"0", min(max_size, len(content) + 64))

        return trial.reader.mutated(bytes(data), rng, raw)[:max_size]

    arguments = [
        sys.argv[0], f"-runs={runs}", f"-max_len={MAX_LENGTH}", "-timeout=120", "-rss_limit_mb=0",
        f"-artifact_prefix={folder}/", "-verbosity=0", str(corpus),
    ]  # fmt: skip
    atheris.Setup(arguments, trial, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
