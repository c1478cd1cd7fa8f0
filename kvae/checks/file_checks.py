"""Checks of `kvae verify` on the contents of a bundle's files. The bundle is opened piece by piece, even if broken."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from kvae.bundle import operators
from kvae.bundle.manifest import FILE_NAME, Manifest, sha256
from kvae.errors import BundleError
from kvae.runtime import sessions

GRAPHS = ("decoder", "encoder", "prior", "prior_density")
"""All roles that a graph can have."""
SUFFIXES = (".onnx", ".ort")


class Skipped(Exception):
    """A check that cannot be made here; the message says why."""


class Finding(NamedTuple):
    """The result of a check that passed."""

    detail: str
    """A description for people."""
    figures: dict[str, float] = {}
    """The measurements, for programs."""


@dataclass
class Subject:
    """A bundle folder, or a lone graph, as far as it could be opened."""

    path: Path
    device: str
    """The device that was asked for; once a graph is loaded, "cpu" or "cuda"."""
    manifest: Manifest | None = None
    graphs: dict[str, Path] = field(default_factory=dict)
    """The graphs' files."""
    sessions: dict[str, Any] = field(default_factory=dict)
    """The graphs that onnxruntime can load."""
    fitting: set[str] = field(default_factory=set)
    """Those among them with the contract's inputs and outputs: the ones that can be run."""

    def known(self) -> Manifest:
        """The manifest; raises Skipped if there is no readable one."""
        if self.manifest is None:
            raise Skipped("there is no valid manifest")
        return self.manifest

    @property
    def in_groups(self) -> bool:
        """Whether the model's latent dimensions are known to be in groups."""
        return self.manifest is not None and self.manifest.groups is not None


def manifest(subject: Subject) -> Finding:
    """The manifest is valid and in a format that this version of kvae reads."""
    if not subject.path.is_dir():
        subject.graphs = {subject.path.stem: subject.path}
        raise Skipped("a lone graph; the manifest is read from its metadata")
    subject.graphs = {  # found by name, because the manifest may be missing
        name: path for name in GRAPHS for suffix in SUFFIXES if (path := subject.path / f"{name}{suffix}").exists()
    }
    found = subject.manifest = Manifest.read(subject.path)
    subject.graphs = {name: subject.path / found.graph_file(name) for name in found.tensors}
    return Finding(f"format {found.format_version}, of kvae {found.kvae_version}, {found.precision}")


def hashes(subject: Subject) -> Finding:
    """Each file has the sha256 in the manifest. Files that are not in the manifest are listed, but are no failure."""
    if not subject.path.is_dir():
        raise Skipped("a lone graph has no hash; the bundle's manifest.json has it")
    expected = subject.known().files
    wrong = []
    for name, digest in expected.items():
        try:
            if sha256(subject.path / name) != digest:
                wrong.append(f"{name} was changed or cut short")
        except FileNotFoundError:
            wrong.append(f"{name} is missing")
        except OSError as error:
            wrong.append(f"{name} cannot be read: {error.strerror}")
    wrong += [
        f"the manifest has no hash of {path.name}" for path in subject.graphs.values() if path.name not in expected
    ]
    if wrong:
        raise BundleError(f"{'; '.join(wrong)}. Copy or export the bundle again.")
    unknown = sorted(entry.name for entry in subject.path.iterdir() if entry.name not in {FILE_NAME, *expected})
    added = f"; not in the manifest: {', '.join(unknown)}" if unknown else ""
    return Finding(f"{len(expected)} files{added}")


def loading(subject: Subject) -> Finding:
    """onnxruntime loads each graph on the device."""
    if not subject.graphs:
        raise BundleError(f"{subject.path} contains no graphs; expected decoder.onnx and encoder.onnx.")
    failures = []
    for name, path in list(subject.graphs.items()):
        try:
            if not path.is_file():
                raise BundleError(f"there is no {path.name}.")
            session = sessions.start_session(path, subject.device, threads=0)
        except BundleError as error:
            failures.append(str(error))
            continue
        if not subject.path.is_dir():  # a lone graph, whatever its file name
            name = sessions.role(session)
            subject.graphs = {name: path}
        subject.sessions[name] = session
    on_cuda = any(session.get_providers()[0] == "CUDAExecutionProvider" for session in subject.sessions.values())
    subject.device = "cuda" if on_cuda else "cpu" if subject.sessions else subject.device
    if failures:
        raise BundleError(" ".join(failures))
    loaded = list(subject.sessions)
    names = " and ".join([", ".join(loaded[:-1]), loaded[-1]] if len(loaded) > 1 else loaded)
    return Finding(f"{names}, by onnxruntime {sessions.load_onnxruntime().__version__}")


def metadata(subject: Subject) -> Finding:
    """The manifest inside each graph equals manifest.json, except for `files`."""
    if not subject.sessions:
        raise Skipped("no graph loads")
    metadata = {name: session.get_modelmeta().custom_metadata_map for name, session in subject.sessions.items()}
    if subject.manifest is None:
        name = next(iter(metadata))
        subject.manifest = Manifest.of_graph(metadata[name], subject.graphs[name])
        return Finding(f"of kvae {subject.manifest.kvae_version}; there is no {FILE_NAME} to compare it with")
    for name, entries in metadata.items():
        subject.manifest.check_inside(entries, subject.graphs[name])
    return Finding(f"the manifest inside each graph matches {FILE_NAME}")


def operator_set(subject: Subject) -> Finding:
    """Each graph has only standard ONNX operators, none of which draws noise, and the ONNX checker accepts it."""
    opset = subject.known().opset
    found: set[str] = set()
    try:
        for path in subject.graphs.values():
            if path.is_file():
                found |= operators.check_file(path, opset)
    except ModuleNotFoundError as error:
        raise Skipped(f"needs {(error.name or 'onnx').partition('.')[0]}, pip install onnx") from None
    if not found:
        raise Skipped("there is no graph")
    unchecked = "; no ONNX checker for .ort" if any(path.suffix == ".ort" for path in subject.graphs.values()) else ""
    return Finding(f"opset {opset}: {', '.join(sorted(found))}{unchecked}")


def shapes(subject: Subject) -> Finding:
    """Each graph's inputs and outputs match the contract, and `batch` is dynamic."""
    tensors = subject.known().tensors
    if not subject.sessions:
        raise Skipped("no graph loads")
    failures = []
    for name, session in subject.sessions.items():
        try:
            # A lone graph's manifest may know no graph of its role.
            sessions.check_tensors(subject.graphs[name], session, tensors.get(name, tensors["decoder"]))
            subject.fitting.add(name)
        except BundleError as error:
            failures.append(str(error))
    if failures:
        raise BundleError(" ".join(failures))
    described = []
    for name in subject.sessions:
        ends = (f"{end['name']} {end['shape']}".replace("'", "") for side in tensors[name].values() for end in side)
        described.append(", ".join(ends))
    return Finding("; ".join(described))
