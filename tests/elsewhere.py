"""A program for the tests: kvae's verbs in a process that looks like another system.

python elsewhere.py SYSTEM FOLDER BUNDLE

SYSTEM is "windows" (with its locks, its rules for names and for open files, and without all that only POSIX has),
"no locks" (the same with neither module for locks), or "no case" (a file system that ignores case). These are
imitations: a real Windows or macOS has never run kvae's tests.
"""

import builtins
import contextlib
import ctypes
import errno
import importlib
import io
import os
import signal
import sys
import types
from pathlib import Path

HIDDEN = ("fcntl", "resource", "pwd", "grp", "termios", "syslog")
NOT_ON_WINDOWS = (
    "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "fork", "forkpty", "geteuid", "getuid", "getgid", "getegid", "getpgid",
    "killpg", "sched_getaffinity", "sched_setaffinity", "sysconf", "mkfifo", "mknod", "pwrite", "pread", "chown",
    "lchown", "fchmod", "statvfs", "fstatvfs", "setsid", "nice", "wait3", "wait4", "uname", "getloadavg", "sync",
)  # fmt: skip
FOLDERS = ("files", "likelihoods", "bundle", "data", "runtime", "evaluation", "checks", "explorer", "runs")
ROOT = Path(__file__).resolve().parent.parent
PROC = "/proc/self/fd"


def hide(with_locks: bool) -> None:
    """Take away what Windows has not, and change what it does otherwise."""
    import fcntl
    import shutil
    import subprocess  # noqa: F401  # these and the packages look at the system once, when they are imported
    import tempfile

    import click._termui_impl
    import click.testing  # noqa: F401
    import numpy as np
    import onnxruntime  # noqa: F401
    import PIL.PngImagePlugin  # noqa: F401

    flock, exclusive, listdir = fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB, os.listdir
    np.zeros(1)

    class Hidden:
        def find_spec(self, name, path=None, target=None):
            if name in HIDDEN or (name == "msvcrt" and not with_locks):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    tempfile.TemporaryFile = tempfile.NamedTemporaryFile  # as it is there
    for name in HIDDEN:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, Hidden())
    if with_locks:
        module = types.ModuleType("msvcrt")
        module.LK_NBLCK = 2

        def locking(number, mode, size):
            assert (mode, size) == (2, 1) and os.lseek(number, 0, os.SEEK_CUR) > 2**20
            try:
                flock(number, exclusive)
            except BlockingIOError:
                raise PermissionError(errno.EACCES, "Permission denied") from None

        module.locking = locking
        sys.modules["msvcrt"] = module
    for name in NOT_ON_WINDOWS:
        if hasattr(os, name):
            delattr(os, name)
    for name in dir(signal):
        if name.startswith("SIG") and name[3] != "_" and name not in ("SIGINT", "SIGTERM", "SIGABRT", "SIGSEGV"):
            delattr(signal, name)
    shutil.disk_usage = lambda path: types.SimpleNamespace(free=2**40)
    real = ctypes.CDLL

    def load(name, *arguments, **settings):
        if name is None:
            raise TypeError("LoadLibrary() argument 1 must be str, not None")
        return real(name, *arguments, **settings)

    ctypes.CDLL = load

    def look(event, arguments):
        if event == "open" and str(arguments[0]).startswith(("/proc/", "/sys/")):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), arguments[0])
        if event == "open" and arguments[1] is None and isinstance(arguments[0], str) and os.path.isdir(arguments[0]):
            raise PermissionError(errno.EACCES, "Permission denied", arguments[0])

    def is_open(path):
        with contextlib.suppress(OSError):
            found = os.stat(path)
            for number in listdir(PROC):
                with contextlib.suppress(OSError):
                    if os.path.samestat(os.fstat(int(number)), found) and os.path.isfile(path):
                        return True
        return False

    def guarded(name, replaces):
        real = getattr(os, name)

        def call(*paths, **settings):
            if any(map(is_open, paths)):
                raise PermissionError(errno.EACCES, "The process cannot access the file", paths[0])
            if len(paths) == 2 and not replaces and os.path.lexists(paths[1]):
                raise FileExistsError(errno.EEXIST, "Cannot create a file when that file already exists", paths[1])
            return real(*paths, **settings)

        setattr(os, name, call)

    for name in ("rename", "replace", "unlink", "remove"):
        guarded(name, replaces=name == "replace")
    shutil.rmtree.avoids_symlink_attacks = False
    shutil._use_fd_functions = False
    sys.addaudithook(look)


def fold_case(root: Path) -> None:
    """Make the file system under a folder ignore case, as those of Windows and macOS do."""
    scandir = os.scandir

    def folded(path):
        if not isinstance(path, (str, os.PathLike)):
            return path
        text = os.path.abspath(os.fspath(path))
        if not text.startswith(str(root)):
            return path
        found = str(root)
        for part in Path(text).relative_to(root).parts:
            with contextlib.suppress(OSError), scandir(found) as entries:
                part = next((entry.name for entry in entries if entry.name.casefold() == part.casefold()), part)
            found = os.path.join(found, part)
        return found

    def wrap(module, name, count=1):
        real = getattr(module, name)
        setattr(
            module, name, lambda *paths, **rest: real(*map(folded, paths[:count]), *paths[count:], **rest)
        )  # fmt: skip

    for name in ("stat", "lstat", "open", "mkdir", "rmdir", "unlink", "remove", "scandir", "listdir", "readlink"):
        wrap(os, name)
    for name in ("rename", "replace"):
        wrap(os, name, 2)
    for module in (io, builtins):
        wrap(module, "open")


def light_modules() -> list[str]:
    """All modules of the light world, but those that draw or convert."""
    names = []
    for folder in FOLDERS:
        for path in sorted((ROOT / "kvae" / folder).glob("*.py")):
            names.append(f"kvae.{folder}.{path.stem}")
    names += [f"kvae.cli.{path.stem}" for path in sorted((ROOT / "cli").glob("*.py"))]
    left_out = ("__init__", "curves", "report", "html_page")
    return [name for name in names if name.rpartition(".")[2] not in left_out]


def main(system: str, folder: Path, bundle: str) -> None:
    """Run the checks of a system."""
    folder.mkdir()
    os.chdir(folder)
    if system == "no case":
        fold_case(folder)
    else:
        hide(with_locks=system == "windows")
    for name in light_modules():
        importlib.import_module(name)
    from click.testing import CliRunner

    from kvae.cli.main import main as group
    from kvae.errors import KvaeError
    from kvae.files import locks, names
    from kvae.machine import memory

    if system != "no case":
        names.check.__defaults__ = (True,)  # os.name is looked at only there

    def kvae(*arguments: str) -> str:
        done = CliRunner().invoke(group, [*arguments], catch_exceptions=False)
        assert done.exit_code == 0, (arguments, done.output)
        return done.stdout

    def refusal(*arguments: str) -> str:
        before = {str(path) for path in folder.rglob("*")}
        done = CliRunner().invoke(group, [*arguments], catch_exceptions=False)
        assert (done.exit_code, done.stdout) == (1, ""), (arguments, done.output)
        (line,) = done.stderr.splitlines()
        assert {str(path) for path in folder.rglob("*")} == before, (arguments, line)
        return line

    model = ("--model", bundle)
    for _ in range(2):
        for out in ("a.png", "a.npy", "a.npz", "pictures"):
            kvae("sample", "--n", "40", *model, "--out", out)
    (folder / "empty").mkdir()
    kvae("sample", "--n", "2", *model, "--out", "empty")
    kvae("encode", "pictures", *model, "--out", "codes.npz")
    kvae("reconstruct", "pictures", *model, "--out", "again")
    kvae("decode", "codes.npz", *model)
    assert len(kvae("score", "pictures", *model).splitlines()) == 41
    kvae("verify", bundle)
    kvae("info", bundle)
    kvae("doctor")
    kvae("data", "inspect", "pictures", "--out", "examples.png")
    CliRunner().invoke(group, ["runs", "."], catch_exceptions=False)
    prepare_cache(folder)
    assert memory.available() > 0
    if system != "no locks":
        with locks.held(folder):
            assert locks.is_held(folder)
            try:
                with locks.held(folder, "written"):
                    raise AssertionError("it was held twice")
            except KvaeError as error:
                assert f"process {os.getpid()}" in str(error)
        assert not locks.is_held(folder)
    (folder / locks.FILE).unlink(missing_ok=True)
    if system == "no case":
        assert "input" in refusal("reconstruct", "pictures/000000.png", *model, "--out", "PICTURES/000000.PNG")
        assert "is read" in refusal("reconstruct", "pictures", *model, "--out", "Pictures/new.png")
        before = len(list(folder.iterdir()))
        for out in ("A.NPY", "Pictures", "EMPTY"):
            kvae("sample", "--n", "3", *model, "--out", out)
        assert len(list(folder.iterdir())) == before
    else:
        for out in ("con.png", "NUL", "out/aux.npy", "samples.", "ab:c.npy", "what?.png"):
            assert "Windows" in refusal("sample", *model, "--out", out), out
        with open("a.png", "rb"):
            assert "cannot write a.png" in refusal("sample", *model, "--out", "a.png")
    left = [path for path in folder.rglob("*") if ".tmp" in path.name or ".kvae-lock" in path.name]
    assert not left, left
    print("all is well")


def prepare_cache(folder: Path) -> None:
    """Decode pictures into the image cache, twice."""
    from kvae.config import TrainConfig
    from kvae.data import image_cache, sources

    os.environ["KVAE_CACHE_DIR"] = str(folder / "cache")
    config = TrainConfig(data=str(folder / "pictures"))
    for _ in range(2):
        found = image_cache.prepare(sources.open_source(folder / "pictures", config.reading), config)
        assert image_cache.fault(found) is None


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve(), sys.argv[3])
