"""`labctl completion`: what a shell evaluates to complete labctl's verbs, labs, nodes, ends of links and faults."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

VARIABLE = "_LABCTL_COMPLETE"
"""How the shell asks labctl; labctl.py knows it too."""
_NAMES = ("labctl.py", "labctl")
"""What people type: the file itself, and the link or alias that many make."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete verbs, labs, nodes, ends of links, topologies and faults.

    \b
    eval "$(./labctl.py completion bash)"
    ./labctl.py completion fish > ~/.config/fish/completions/labctl.py.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    for name in _NAMES:
        click.echo(kind(context.find_root().command, {}, name, VARIABLE).source())
