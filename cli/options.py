"""The options that commands share."""

from pathlib import Path

import click

PATH = click.Path(path_type=Path, readable=False)  # whether it can be read is checked, with advice, where it is used
model_option = click.option(
    "--model",
    metavar="MODEL",
    help="A bundle folder, a decoder.onnx, a run or a shipped name. [default: the newest run here, else fashion_mnist]",
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to run; cuda fails where there is none, auto takes the CPU then.",
)
strategy_option = click.option(
    "--strategy",
    type=click.Choice(["auto", "single", "mirrored", "multi_worker"]),
    default="auto",
    show_default=True,
    help="Train on one device, on all GPUs of this machine, or on the machines of TF_CONFIG; auto takes what is there.",
)
own_option = click.option(
    "--data", type=PATH, help="The images of your own that the model was trained on, where its run does not know."
)
data_dir_option = click.option("--data-dir", type=PATH, help="Folder with the data set's idx files.")
importance_samples_option = click.option(
    "--importance-samples", type=int, default=500, show_default=True, help="Draws per image; 5000 for publication."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
