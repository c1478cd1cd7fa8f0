"""`kvae doctor`: what this installation can do, and what to install for the rest. It needs no onnxruntime."""

import os
import platform
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from kvae import ONNXRUNTIME_CAME_FIRST, __version__
from kvae.bundle import locate
from kvae.bundle.manifest import Manifest
from kvae.checks import providers, requirements
from kvae.checks.providers import Provider
from kvae.checks.requirements import Requirement
from kvae.config import DATASETS
from kvae.data import datasets
from kvae.data.cache import cache_dir
from kvae.errors import KvaeError
from kvae.files.text import printable
from kvae.machine import cores, extras

WHEELS = ("onnxruntime", "onnxruntime-gpu")
"""Two distributions that install the same module and so overwrite each other."""

OPTIONAL = {
    "compress": ("compressing", "To compress images (kvae compress)"),
    "serve": ("serving", "To serve a model over HTTP (kvae serve)"),
    "ray": ("many machines", "To score, encode and sample on many cores and machines (--engine ray)"),
}
"""The extras that one verb or option needs: the name of their row, and what their command is for."""
TELEMETRY_SWITCH = "ORT_DISABLE_TELEMETRY"
OFF = ("1", "true", "yes", "on", "y")
"""The values of the switch that onnxruntime understands, in upper or lower case."""


class Row(NamedTuple):
    """A line of the table."""

    name: str
    text: str


@dataclass(frozen=True)
class Advice:
    """The commands to run for a purpose."""

    purpose: str
    commands: list[str]


@dataclass(frozen=True)
class Diagnosis:
    """What this installation consists of, and what it can do."""

    kvae: str
    location: str
    python: str
    platform: str
    cores: int
    """The cores of the machine."""
    threads: int
    """How many of them kvae uses; see `kvae.machine.cores`."""
    threads_problem: str
    """Why kvae uses none: what is wrong with the user's number; empty if it can be used."""
    telemetry: str
    """What is sent to others; empty if nothing is."""
    packages: list[Requirement]
    wheels: dict[str, str]
    """Versions of the installed onnxruntime wheels; more than one is a clash."""
    onnxruntime: str
    """Why onnxruntime cannot be used; empty if it can."""
    providers: list[Provider]
    """The providers that it lists, and the result of decoding an image with each."""
    cache: str
    data_sets: dict[str, str | None]
    """Where each data set is; None if it would have to be downloaded."""
    advice: list[Advice] = field(default_factory=list)

    @property
    def clash(self) -> bool:
        """Whether several onnxruntime wheels are installed over each other."""
        return len(self.wheels) > 1

    @property
    def can_sample(self) -> bool:
        """Whether an image was decoded."""
        return any(provider.status == providers.WORKS for provider in self.providers)

    @property
    def can_train(self) -> bool:
        """Whether the train extra is installed, in versions that kvae supports."""
        return self.has("train")

    def has(self, extra: str) -> bool:
        """Whether an extra is installed, in versions that kvae supports."""
        return _has(self.packages, extra)

    @property
    def healthy(self) -> bool:
        """Whether sampling works, and nothing threatens it."""
        return self.can_sample and not self.clash and not self.threads_problem

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        names = ("healthy", "can_sample", "can_train", "clash")
        return {name: getattr(self, name) for name in names} | asdict(self)

    @property
    def rows(self) -> list[Row]:
        """The table to print."""
        rows = [
            Row("kvae", f"{self.kvae}, {self.location}"),
            Row("Python", self.python),
            Row("platform", f"{self.platform}, {self.cores} cores"),
            Row(
                "threads",
                self.threads_problem or f"{self.threads} (cores that this process may use, or {cores.VARIABLE})",
            ),
            Row("sent to others", self.telemetry or f"nothing ({TELEMETRY_SWITCH}={os.environ[TELEMETRY_SWITCH]})"),
            *(_package_row(package) for package in self.packages if package.extra is None),
            Row("sampling", "works" if self.can_sample else "does not work"),
            *(self._wheel_row(name) for name in self.wheels),
        ]
        if self.clash:
            rows.append(Row("  CLASH", "these two wheels overwrite each other; keep one, as shown below"))
        if self.onnxruntime:
            rows.append(Row("  onnxruntime", self.onnxruntime))
        rows += [Row(f"  {provider.name}", provider.detail) for provider in self.providers]
        rows.append(Row("training", "its packages are installed" if self.can_train else "not ready"))
        rows += [_package_row(package, "  ") for package in self.packages if package.extra == "train"]
        for extra, (name, _) in OPTIONAL.items():
            rows.append(Row(name, "its packages are installed" if self.has(extra) else "not ready"))
            rows += [_package_row(package, "  ") for package in self.packages if package.extra == extra]
        rows.append(Row("data sets", f"cache: {self.cache}"))
        rows += [Row(f"  {name}", place or "not on this machine") for name, place in self.data_sets.items()]
        return rows

    def _wheel_row(self, name: str) -> Row:
        for package in self.packages:
            if package.name == name:
                return _package_row(package, "  ")
        return Row(f"  {name}", self.wheels[name])


def examine() -> Diagnosis:
    """Examine this installation; TensorFlow is looked up, not imported."""
    wheels = {name: version for name in WHEELS if (version := requirements.installed(name))}
    module, problem = _import_onnxruntime()
    tried: list[Provider] = []
    if module is not None:
        graph = _shipped_decoder()
        tried = providers.try_all(module, graph) if graph else []
        problem = "" if graph else "kvae's shipped bundle is missing, so it was not tried; reinstall kvae"
    threads, threads_problem = _threads()
    packages = [wanted for wanted in requirements.of() if wanted.extra in (None, "train", "cpu", "gpu", *OPTIONAL)]
    return Diagnosis(
        kvae=__version__,
        location=str(Path(__file__).parents[1]) + ("" if packages else " (run from its folder, not installed)"),
        python=f"{platform.python_version()}, {platform.python_implementation()}",
        platform=platform.platform(),
        cores=os.cpu_count() or 1,
        threads=threads,
        threads_problem=threads_problem,
        telemetry=_telemetry(),
        packages=packages,
        wheels=wheels,
        onnxruntime=problem,
        providers=tried,
        cache=str(cache_dir()) + ("" if cache_dir().is_dir() else " (not there yet)"),
        data_sets={name: _text(datasets.where(name)) for name in DATASETS},
        advice=[
            *_advice(packages, wheels, module is not None),
            *(_downloads() if _has(packages, "train") else []),
        ],
    )


def _has(packages: list[Requirement], extra: str) -> bool:
    wanted = [package for package in packages if package.extra == extra]  # none if none is for this Python
    return bool(wanted) and all(package.fits for package in wanted)


def _downloads() -> list[Advice]:
    """How to get the data sets that are not on this machine."""
    return [
        Advice(f"To download {name}, and train on it", [f"kvae train --dataset {name}"])
        for name in DATASETS
        if datasets.where(name) is None
    ]


def _package_row(package: Requirement, indent: str = "") -> Row:
    if package.version is None:
        return Row(f"{indent}{package.name}", f"not installed; needs {package.versions or 'any version'}")
    return Row(f"{indent}{package.name}", package.version + ("" if package.fits else f"; needs {package.versions}"))


def _import_onnxruntime() -> tuple[ModuleType | None, str]:
    """The module, or why it cannot be imported: a wheel that another one overwrote can lack any part."""
    try:
        import onnxruntime

        onnxruntime.get_available_providers()
    except ModuleNotFoundError as error:
        missing = error.name == "onnxruntime"
        return None, "not installed" if missing else f"broken: it lacks the module {error.name}"
    except (ImportError, AttributeError, OSError) as error:
        return None, f"broken: {printable(error, 160)}"
    return onnxruntime, ""


def _threads() -> tuple[int, str]:
    """How many threads kvae uses, or 0 and what is wrong with the user's number."""
    try:
        return cores.threads(), ""
    except KvaeError as error:
        return 0, str(error)


def _telemetry() -> str:
    value = os.environ.get(TELEMETRY_SWITCH, "")
    if value.strip().lower() not in OFF:
        return f"onnxruntime reports to its maker, because {TELEMETRY_SWITCH} is {printable(value, 20)!r}; set it to 1"
    if ONNXRUNTIME_CAME_FIRST:
        return f"onnxruntime may report: it was imported before kvae; import kvae first, or set {TELEMETRY_SWITCH}=1"
    return ""


def _shipped_decoder() -> Path | None:
    for bundle in locate.shipped().values():
        try:
            return bundle / Manifest.read(bundle).graph_file("decoder")
        except KvaeError:
            continue
    return None


def _text(place: Path | None) -> str | None:
    return None if place is None else str(place)


def _advice(packages: list[Requirement], wheels: dict[str, str], usable: bool) -> list[Advice]:
    clean = [f"pip uninstall -y {' '.join(wheels)}"] if wheels else []
    cpu, gpu = [*clean, extras.command("cpu")], [*clean, extras.command("gpu")]
    advice = []
    if any(package.extra is None and not package.fits for package in packages):
        advice.append(Advice("To repair the installation", [extras.command()]))
    if len(wheels) > 1 or not usable:
        advice += [Advice("To sample on the CPU", cpu), Advice("or, to sample on NVIDIA's GPUs as well", gpu)]
    elif "onnxruntime-gpu" not in wheels:
        advice.append(Advice("To sample on NVIDIA's GPUs as well", gpu))
    missing = [
        Advice(purpose, [extras.command(extra)])
        for extra, (_, purpose) in OPTIONAL.items()
        if not _has(packages, extra)
    ]
    if not _has(packages, "train"):
        if sys.version_info[:2] > extras.LAST_PYTHON:
            advice.append(Advice(f"To train: {extras.advice('train')}", []))
        else:
            advice.append(Advice("To train", [extras.command("train")]))
    return advice + missing
