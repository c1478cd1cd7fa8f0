"""The check of `kvae verify --run`: compares a bundle with the run's own model in Keras."""

from pathlib import Path

from kvae.checks import graph_checks
from kvae.checks.file_checks import Finding, Subject
from kvae.export import proof
from kvae.runtime.bundle import Bundle
from kvae.training.keras_files import load_model


def keras_parity(subject: Subject, run: Path) -> Finding:
    """Check that the graphs compute what the run's model computes in Keras."""
    graphs = {name: subject.graphs[name] for name in graph_checks.trial(subject)}
    vae = load_model(run)
    bundle = Bundle(subject.known(), graphs, subject.device)
    proof.check_fits(bundle.manifest, vae)
    worst = proof.differences(bundle, proof.cases(vae))
    found = graph_checks.judge(subject, worst, "Keras")
    return Finding(f"with Keras, {run}: {found}", graph_checks.figures(worst))
