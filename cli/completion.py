"""`kvae completion`: the script by which a shell asks kvae for completions; `kvae.cli.complete` has the values."""

import sys
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, get_completion_class

from kvae.cli import terminal
from kvae.cli.help import command
from kvae.cli.suggestions import Choice

VARIABLE = "_KVAE_COMPLETE"
"""The environment variable by which the shell asks `kvae` for completions."""
INSTALL = {
    "bash": 'add this line to ~/.bashrc:  eval "$(kvae completion bash)"',
    "zsh": 'add this line to ~/.zshrc, after compinit:  eval "$(kvae completion zsh)"',
    "fish": "run this once:  kvae completion fish > ~/.config/fish/completions/kvae.fish",
}
"""How each shell takes the script."""


class Bash(BashComplete):
    """Click's completion, which for bash forgets that the space in a name must be escaped."""

    def format_completion(self, item: CompletionItem) -> str:
        """The line that the script reads."""
        if item.type == "plain":
            item = CompletionItem(item.value.replace(" ", "\\\\ "))  # its `read` takes one away
        return super().format_completion(item)


add_completion_class(Bash)


@command(examples=["kvae completion bash > kvae.bash", "kvae completion fish > ~/.config/fish/completions/kvae.fish"])
@click.argument("shell", type=Choice(list(INSTALL)))
def completion(shell: str) -> None:
    """Print the script that completes kvae's words in a shell.

    Verbs, options and their values are completed, data sets, models, runs and labels among them. For bash, add
    `eval "$(kvae completion bash)"` to ~/.bashrc; for zsh, the same with zsh to ~/.zshrc; for fish, write the script to
    the file in the example below.
    """
    from kvae.cli.main import main

    made: Any = get_completion_class(shell)
    click.echo(made(main, {}, "kvae", VARIABLE).source())
    if sys.stdout.isatty():
        terminal.tell(f"To use it, {INSTALL[shell]}")
