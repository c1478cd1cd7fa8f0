"""Images in three splits: data sets by name, or images of your own."""

from kvae.data.choice import settle
from kvae.data.dataset import Dataset, Split
from kvae.data.datasets import load, of
from kvae.data.held_out_split import held_out, held_out_labels

__all__ = ["Dataset", "Split", "held_out", "held_out_labels", "load", "of", "settle"]
