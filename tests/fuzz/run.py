"""Feeds mutated files to a reader in a process of its own, and says what should not have happened.

python tests/fuzz/run.py --reader onnx --count 10000 --seed 0

Each input must end in a result, or in a KvaeError of one line: no other exception, no crash, no hang, no more than
`MEMORY` of memory. What fails is kept in tests/fuzz/corpus, and is a test from then on.
"""

import argparse
import hashlib
import json
import os
import random
import re
import resource
import selectors
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent.parent)  # in place of this folder, so that it is `fuzz` here too

from fuzz import mutations, readers

MEMORY = 10**9
"""Bytes that the process may use at its peak."""
ADDRESSES = 6 * 10**9
"""Bytes of addresses that it can have, used or not, so that a failure does not take the machine along."""
SECONDS = 20
"""Seconds that an input may take."""
STARTING = 300
"""Seconds that the process may take to start."""
LONGEST_MESSAGE = 700


class Finding(NamedTuple):
    """What came of an input."""

    outcome: str
    """"accepted" or "refused"; "error", "crash", "hang", "memory" or "message" are failures."""
    message: str
    peak: int
    """Bytes of memory, the most that the process used for this input."""

    @property
    def failed(self) -> bool:
        return self.outcome not in ("accepted", "refused")


class Worker:
    """A process that reads one input after another; started again when it dies.

    Args:
        reader: a name of `readers.READERS`.
        seconds: how long an input may take; `SECONDS` by default.
    """

    def __init__(self, reader: str, seconds: float | None = None) -> None:
        self._reader = reader
        self._seconds = seconds or SECONDS
        self._errors = tempfile.TemporaryFile("w+b")  # noqa: SIM115 (closed by `close`)
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", __file__, "--work", self._reader],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        if self._answer(STARTING) is None:
            raise RuntimeError(f"the process for {self._reader} does not start: {self._last_words()}")

    def read(self, content: bytes) -> Finding:
        """What comes of an input; one that takes too much memory is read again in a new process.

        Libraries keep something of every input: HDF5, for example, what it could not read to the end.
        """
        finding = self._read(content)
        if finding.outcome == "memory":
            self._end()
            self._start()
            finding = self._read(content)
        return finding

    def _read(self, content: bytes) -> Finding:
        self._process.stdin.write(struct.pack("<I", len(content)) + content)
        self._process.stdin.flush()
        answer = self._answer(self._seconds)
        if answer is None:
            hung = self._process.poll() is None and not self._gone()
            self._end()
            self._start()
            if hung:
                return Finding("hang", f"no answer in {self._seconds:g} s", 0)
            return Finding("crash", self._last_words(), 0)
        finding = Finding(*json.loads(answer))
        if finding.peak > MEMORY:
            return finding._replace(outcome="memory")
        if finding.outcome == "refused" and ("\n" in finding.message or len(finding.message) > LONGEST_MESSAGE):
            return finding._replace(outcome="message")
        return finding

    def close(self) -> None:
        """No more inputs."""
        self._end()
        self._errors.close()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def _answer(self, seconds: float) -> bytes | None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                return None
        return self._process.stdout.readline() or None

    def _gone(self) -> bool:
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        return f"exit status {self._process.returncode}; {lines[-1] if lines else 'nothing was said'}"


def work(reader: str) -> None:
    """The other process: inputs from stdin, a line of JSON for each on stdout."""
    import kvae.bundle.card
    import kvae.bundle.summary
    import kvae.checks.verification  # noqa: F401
    from kvae.errors import KvaeError

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is not an answer
    scratch = Path(tempfile.mkdtemp(prefix="kvae-fuzz-"))
    readers.PREPARED.get(reader, str)()  # what takes long is not of the first input
    print("ready", file=target, flush=True)
    while header := source.read(4):
        content = source.read(*struct.unpack("<I", header))
        folder = scratch / "input"
        folder.mkdir()
        Path("/proc/self/clear_refs").write_text("5")  # the peak is that of this input
        try:
            (readers.READERS | {"python": readers.run_python})[reader](content, folder)
            outcome = "accepted", ""
        except KvaeError as error:
            outcome = "refused", str(error).replace(str(folder), "")
        except BaseException as error:
            outcome = "error", f"{type(error).__name__}: {error}"[:500]
        shutil.rmtree(folder)
        print(json.dumps([*outcome, _peak()]), file=target, flush=True)
    shutil.rmtree(scratch)


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024


def inputs(reader: str, count: int, seed: int) -> Iterator[bytes]:
    """The inputs of a campaign: number i depends on reader, seed and i alone."""
    seeds = readers.seeds(reader)
    for index in range(count):
        yield mutations.mutate(random.Random(f"{reader} {seed} {index}"), seeds)


def campaign(reader: str, contents: Iterable[bytes], seconds: float | None = None) -> Iterator[tuple[bytes, Finding]]:
    """Each input with what came of it."""
    worker = Worker(reader, seconds)
    try:
        for content in contents:
            yield content, worker.read(content)
    finally:
        worker.close()


def kept_name(outcome: str, content: bytes) -> str:
    """The name of an input in the corpus."""
    return f"{outcome}-{hashlib.sha256(content).hexdigest()[:10]}"


def gist(message: str) -> str:
    """A message without what differs between inputs, so that like ones are counted together."""
    return re.sub(r"""0x[0-9a-f]+|"[^"]*("|$)|'[^']*('|$)|\(.*\)|\[.*\]|\d[\d,.]*""", "_", message)[:90]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reader", choices=readers.READERS, required=True)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="Seconds that an input may take; more on a busy machine."
    )
    parser.add_argument("--keep", type=int, default=0, help="Inputs to keep, each refused for another reason.")
    args = parser.parse_args()
    started, peak, outcomes, reasons = time.monotonic(), 0, Counter(), {}
    folder = readers.CORPUS / args.reader
    for content, finding in campaign(args.reader, inputs(args.reader, args.count, args.seed), args.seconds):
        outcomes[finding.outcome] += 1
        peak = max(peak, finding.peak)
        reason = reasons.setdefault(gist(finding.message), [0, content])
        reason[0] += 1
        if finding.failed:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / kept_name(finding.outcome, content)).write_bytes(content)
            print(f"{finding.outcome}: {finding.message[:300]} -> {kept_name(finding.outcome, content)}", flush=True)
        elif len(content) < len(reason[1]):
            reason[1] = content
    for reason, (number, content) in sorted(reasons.items(), key=lambda item: -item[1][0])[: args.keep or None]:
        if args.keep and reason:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / kept_name("refused", content)).write_bytes(content)
        print(f"{number:6} {reason or 'accepted'}")
    counts = ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(outcomes.items()))
    spent = f"{time.monotonic() - started:.0f} s, peak {peak / 1e6:.0f} MB"
    print(f"{args.reader}: {args.count:,} inputs of seed {args.seed} in {spent}: {counts}")
    return 1 if set(outcomes) - {"accepted", "refused"} else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2])
    else:
        sys.exit(main())
