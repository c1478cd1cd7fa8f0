"""Nothing is sent: onnxruntime's telemetry is off in every process that kvae starts, and nothing appears in a home."""

import os
import subprocess
import sys

import pytest

from kvae.bundle.locate import locate
from kvae.checks import doctor

SWITCH = "ORT_DISABLE_TELEMETRY"
USES = {
    "the command line": "from kvae.cli.main import main; main(['sample', '--n', '2', '--out', 'samples.npy'])",
    "the runtime": "from kvae.runtime import Bundle; Bundle.open(BUNDLE).sample(2)",
    "a module below the face": "from kvae.runtime.sessions import load_onnxruntime; load_onnxruntime()",
    "the conversion": "import kvae.conversion",
    "numpy's first": "import numpy; from kvae.checks import doctor; doctor.examine()",
    "a spawned process": (
        "import multiprocessing, operator\n"
        "from kvae.runtime import Bundle\n"
        "if __name__ == '__main__':\n"
        "    bundle = Bundle.open(BUNDLE)\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        pool.apply(bundle.sample, [2])"
    ),
}


@pytest.fixture(params=["fresh", "none", "missing", "read-only"])
def home(request, tmp_path):
    """The environment, as a user has it at a terminal, with one kind of home; and the folder to look for files in."""
    folder = tmp_path / "home"
    unwanted = ("CI", SWITCH, "RAY_USAGE_STATS_ENABLED", "XDG_CACHE_HOME", "HOME", "KVAE_CACHE_DIR")
    environment = {
        name: value for name, value in os.environ.items() if name not in unwanted and not name.startswith("GITHUB_")
    }
    if request.param != "none":
        environment |= {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    if request.param in ("fresh", "read-only"):
        folder.mkdir(mode=0o755 if request.param == "fresh" else 0o555)
    return environment, folder


def run(code, folder, environment):
    script = folder / "program.py"
    script.write_text(f"BUNDLE = {str(locate('fashion_mnist'))!r}\n{code}\n")
    return subprocess.run([sys.executable, script], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("use", USES)
def test_no_file_appears_in_a_home_and_nothing_is_said(use, tmp_path, home):
    environment, folder = home
    work = tmp_path / "work"
    work.mkdir()
    done = run(USES[use], work, environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr in ("", f"model: {locate('fashion_mnist')}\n")
    assert sorted(folder.rglob("*")) == []


def test_without_kvae_onnxruntime_does_leave_files(tmp_path, home):
    """Otherwise the test above would test nothing. Versions before 1.29 leave none."""
    environment, folder = home
    code = "import onnxruntime; print(onnxruntime.__version__)"
    done = run(code, tmp_path, environment)
    if tuple(map(int, done.stdout.split(".")[:2])) < (1, 29) or not sys.platform.startswith("linux"):
        pytest.skip("this onnxruntime has no telemetry")
    if not os.access(folder, os.W_OK):
        pytest.skip("there is no home to write to")
    assert [path for path in folder.rglob("*") if path.is_file()] != []


def test_no_socket_is_opened_by_python(tmp_path, home):
    environment, _ = home
    hook = "import sys; sys.addaudithook(lambda event, _: print(event) if event.startswith('socket.') else None)\n"
    done = run(hook + USES["the command line"], tmp_path, environment)
    assert done.stdout == "samples.npy\n"


@pytest.mark.parametrize(
    ("given", "expected"), [(None, "1"), ("", "1"), ("1", "1"), ("true", "true"), ("0", "0"), ("false", "false")]
)
def test_a_value_that_the_user_set_is_kept(given, expected):
    environment = {name: value for name, value in os.environ.items() if name != SWITCH}
    code = f"import os, kvae; print(os.environ[{SWITCH!r}])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | ({} if given is None else {SWITCH: given}),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == expected


@pytest.mark.parametrize("value", ["1", "true", "YES", " on "])
def test_doctor_says_that_nothing_is_sent(monkeypatch, value):
    monkeypatch.setattr(doctor, "ONNXRUNTIME_CAME_FIRST", False)
    monkeypatch.setenv(SWITCH, value)
    diagnosis = doctor.examine()
    assert diagnosis.telemetry == ""
    assert dict(diagnosis.rows)["sent to others"] == f"nothing ({SWITCH}={value})"


@pytest.mark.parametrize("value", ["0", "false", "2", "\x1b[31m"])
def test_doctor_says_that_onnxruntime_reports(monkeypatch, value):
    monkeypatch.setenv(SWITCH, value)
    row = dict(doctor.examine().rows)["sent to others"]
    assert "onnxruntime reports" in row
    assert "\x1b" not in row


def test_doctor_says_that_onnxruntime_was_imported_too_early():
    environment = {name: value for name, value in os.environ.items() if name != SWITCH}
    code = "import onnxruntime; from kvae.checks import doctor; print(doctor.examine().telemetry)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "imported before kvae" in done.stdout
