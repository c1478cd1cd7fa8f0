"""`kvae VERB`: the table of verbs. A verb's module is imported when the verb runs; `kvae --help` imports none."""

import os

import click

from kvae import __version__
from kvae.cli.group import OneLineGroup
from kvae.cli.verbs import Verb

VERBS = {
    "compare": Verb("compare", "Train with several settings and compare the results."),
    "compress": Verb("compress", "Compress IMAGES without loss, by what a model knows."),
    "data": Verb("data", "Look at your own images before training."),
    "decode": Verb("images", "Decode codes to images."),
    "decompress": Verb("compress", "Write the images of a file that kvae compress made."),
    "doctor": Verb("checks", "Say what this installation can and cannot do."),
    "encode": Verb("images", "Encode IMAGES and write their posteriors to a file."),
    "evaluate": Verb("evaluate", "Evaluate a run or a bundle on the test images."),
    "explore": Verb("explore", "Explore what a model's codes mean, in a browser."),
    "export": Verb("export", "Export a run as a bundle, or convert a bundle."),
    "fit-prior": Verb("fit_prior", "Fit a prior to the codes of a finished run's model, and make a run with it."),
    "info": Verb("info", "Show what a bundle says about itself."),
    "inpaint": Verb("inpaint", "Draw what is missing in IMAGES, given what is seen."),
    "interpolate": Verb("paths", "Draw the path from one image to another."),
    "reconstruct": Verb("images", "Encode IMAGES and decode them again."),
    "runs": Verb("runs", "List the runs in a folder, newest first."),
    "sample": Verb("sample", "Draw images from a model."),
    "score": Verb("score", "Score IMAGES by their ELBO: low is anomalous."),
    "train": Verb("train", "Train a model, evaluate it on the test images, and export it."),
    "traverse": Verb("paths", "Draw what each latent dimension does."),
    "verify": Verb("checks", "Check on this machine that a bundle computes what it should."),
}

# numpy's OpenBLAS starts a thread per core of the machine when it is loaded. kvae runs batches side by side instead.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@click.group(
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
