"""What a verb's `--help` shows: its options in sections, the rare ones under `--help-all`, and examples at the end.

A verb is declared by `command`, with its examples beside it; the sections of the options that verbs share are here.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import click

from kvae.cli import terminal

SECTIONS: dict[str, Collection[str]] = {
    "Images": (
        "dataset", "data", "data_dir", "validation_data", "test_data", "image_size", "grayscale", "resize", "alpha",
        "levels", "max_bad", "split_seed", "binarize", "shift",
    ),
    "Model": (
        "model", "label", "recipe", "init_from", "architecture", "latent_dim", "hidden_units", "likelihood", "prior",
        "prior_components", "conditional",
    ),
    "Loss": (
        "objective", "num_draws", "beta", "entropy_weight", "regularizer", "kl_warmup_epochs", "beta_schedule",
        "free_bits",
    ),
    "Training": (
        "epochs", "batch_size", "learning_rate", "lr_warmup_steps", "adam_beta2", "clip_norm", "ema", "patience",
        "max_skipped_steps", "seed", "deterministic", "resume", "config_file", "dry_run",
    ),
    "Output": ("out", "scale", "pictures_every", "tensorboard", "as_json"),
    "Machine": ("device", "threads", "strategy", "engine", "precision", "jit", "limit"),
}  # fmt: skip
"""The options of the verbs by their parameters' names, after those of a verb's own sections."""
OTHER = "Help"
"""The section of --help, and of any option that is in no other."""
MAX_OPTIONS = 12
"""The most options that --help shows; a verb with more shows the others with --help-all."""
RARE = ("limit", "device", "threads", "alpha", "levels", "max_bad")
"""The options that a verb with too many leaves to --help-all, unless it says which are to be shown."""
COLUMN, NARROW = 24, 64
"""The width of the column of options, and that of the narrowest page that has their texts beside them."""
_ALL = "kvae.cli.help.all"


def command(
    name: str | None = None,
    *,
    examples: Sequence[str],
    own: Mapping[str, Collection[str]] | None = None,
    first: Collection[str] | None = None,
) -> Callable[[Callable[..., Any]], "HelpfulCommand"]:
    """A decorator that makes a verb, as `click.command` does.

    Args:
        name: the verb's name, if it is not the function's.
        examples: commands that work.
        own: sections of the verb's own, shown before those of `SECTIONS`, with the names of their parameters.
        first: the parameters that --help shows; by default all or, if these are too many, all but `RARE`.
    """
    return click.command(name, cls=HelpfulCommand, examples=examples, own=own, first=first)


def _show_all(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        context.meta[_ALL] = True
        click.echo(context.get_help(), color=context.color)
        context.exit()


class HelpfulCommand(click.Command):
    """A command whose help has sections and examples; `command` says what its arguments are."""

    def __init__(
        self,
        *args: Any,
        examples: Sequence[str],
        own: Mapping[str, Collection[str]] | None = None,
        first: Collection[str] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self.examples = examples
        self.sections = dict(own or {}) | SECTIONS
        options = [str(option.name) for option in self.params if isinstance(option, click.Option)]
        if first is None:
            first = [name for name in options if name not in RARE or len(options) <= MAX_OPTIONS]
        self.left_out = [name for name in options if name not in first]
        """The names of the parameters that only --help-all shows."""
        self.more = click.Option(
            ["--help-all"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_all,
            help="Show all options.",
        )

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The parameters, with --help and, if that leaves any out, --help-all."""
        return [*super().get_params(ctx), *([self.more] if self.left_out else [])]

    def section_of(self, name: str | None) -> str:
        """The section of a parameter."""
        return next((section for section, names in self.sections.items() if name in names), OTHER)

    def records(self, ctx: click.Context, is_all: bool = True) -> dict[str, list[tuple[str, str]]]:
        """The options as they are written and what they do, by section.

        Args:
            ctx: the command's context.
            is_all: with those that only --help-all shows.
        """
        order = [name for names in self.sections.values() for name in names]
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        options.sort(key=lambda option: order.index(option.name) if option.name in order else len(order))
        found: dict[str, list[tuple[str, str]]] = {section: [] for section in (*self.sections, OTHER)}
        for option in options:
            record = option.get_help_record(ctx)
            if record is not None and (is_all or option.name not in self.left_out):
                spec, text = record
                found[self.section_of(option.name)].append((spec.replace(" RANGE", ""), " ".join(text.split())))
        return {section: records for section, records in found.items() if records}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        is_all = ctx.meta.get(_ALL, False)
        for section, records in self.records(ctx, is_all).items():
            formatter.write(f"\n{section}:\n")
            for spec, text in records:
                formatter.write(_option(spec, text, formatter.width) + "\n")
        if self.left_out and not is_all:
            words = f"{len(self.left_out)} more options: {ctx.command_path} --help-all"
            formatter.write(f"\n{terminal.wrapped(words, formatter.width)}\n")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        formatter.write("\nExamples:\n")
        for example in self.examples:
            formatter.write("\n".join(_continued(example.split(" "), formatter.width)) + "\n")


def _option(spec: str, text: str, columns: int) -> str:
    """An option, with its text beside it or, on a narrow page, below."""
    indent = COLUMN + 2 if columns >= NARROW else 6
    if len(spec) + 2 <= COLUMN and columns >= NARROW:
        return terminal.wrapped(f"  {spec:<{COLUMN}}{text}", columns, indent)
    lines = _packed(spec.replace("|", "| ").split(" "), columns, 2, 6)
    lines = [line.replace("| ", "|") for line in lines]
    return "\n".join([*lines, terminal.wrapped(" " * indent + text, columns, indent)])


def _continued(words: Iterable[str], columns: int) -> list[str]:
    """A command that can be copied, whose lines end with a backslash."""
    *lines, last = _packed(words, columns - 2, 2, 6)
    return [*(f"{line} \\" for line in lines), last]


def _packed(words: Iterable[str], columns: int, first: int, rest: int) -> list[str]:
    """Words in as few lines as possible, the first of which is indented by `first`, and the others by `rest`."""
    lines = [""]
    for word in words:
        indent = first if len(lines) == 1 else rest
        if lines[-1] and indent + len(lines[-1]) + 1 + len(word) > columns:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return [" " * (rest if number else first) + line for number, line in enumerate(lines)]
