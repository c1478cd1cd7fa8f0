"""`kvae VERB`: the table of verbs. A verb's module is imported when the verb runs; `kvae --help` imports none."""

import os

import click

from kvae import __version__
from kvae.cli.group import OneLineGroup
from kvae.cli.verbs import Verb

VERBS = {
    "train": Verb("train", "Train a model, evaluate it on the test images, and export it.", "Make"),
    "fit-prior": Verb(
        "fit_prior", "Fit a prior to the codes of a finished run's model, and make a run with it.", "Make"
    ),
    "sample": Verb("sample", "Draw images from a model.", "Use"),
    "reconstruct": Verb("images", "Encode IMAGES and decode them again.", "Use"),
    "encode": Verb("images", "Encode IMAGES and write their posteriors to a file.", "Use"),
    "decode": Verb("images", "Decode codes to images.", "Use"),
    "interpolate": Verb("paths", "Draw the path from one image to another.", "Use"),
    "inpaint": Verb("inpaint", "Draw what is missing in IMAGES, given what is seen.", "Use"),
    "score": Verb("score", "Score IMAGES by their ELBO: low is anomalous.", "Use"),
    "compress": Verb("compress", "Compress IMAGES without loss, by what a model knows.", "Use"),
    "decompress": Verb("compress", "Write the images of a file that kvae compress made.", "Use"),
    "serve": Verb("serve", "Serve a model over HTTP: sample, encode, decode, reconstruct, score.", "Use"),
    "explore": Verb("explore", "Explore what a model's codes mean, in a browser.", "Look"),
    "traverse": Verb("paths", "Draw what each latent dimension does.", "Look"),
    "runs": Verb("runs", "List the runs in a folder, newest first.", "Look"),
    "data": Verb("data", "Look at your own images before training.", "Look"),
    "evaluate": Verb("evaluate", "Evaluate a run or a bundle on the test images.", "Measure"),
    "compare": Verb("compare", "Train with several settings and compare the results.", "Measure"),
    "export": Verb("export", "Export a run as a bundle, or convert a bundle.", "Bundles"),
    "info": Verb("info", "Show what a bundle says about itself.", "Bundles"),
    "verify": Verb("checks", "Check on this machine that a bundle computes what it should.", "Bundles"),
    "doctor": Verb("checks", "Say what this installation can and cannot do.", "Setup"),
    "completion": Verb("completion", "Print the script that completes kvae's words in a shell.", "Setup"),
}

# numpy's OpenBLAS starts a thread per core of the machine when it is loaded. kvae runs batches side by side instead.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@click.group(
    "kvae",
    cls=OneLineGroup,
    verbs=VERBS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="kvae")
@click.pass_context
def main(context: click.Context) -> None:
    """Variational autoencoders: train with Keras, hand over as ONNX, sample anywhere."""
    if context.invoked_subcommand is None:
        from kvae.cli import welcome

        welcome.show()
