"""The command line as a whole: examples, completion, JSON as documented, colours, exit statuses."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from rich.table import Table

from harness.cli.__main__ import main
from harness.cli.commands import labctl
from harness.cli.completing import VARIABLE
from harness.cli.options import say, terminal
from harness.cli.output import OUTPUTS, TimedOut
from harness.paths import REPOSITORY

OPEN = (TimedOut,)
"""What has more keys than those that are named: a kind of fault has fields of its own."""
PYTHON = [sys.executable, "-P", "-m", "harness.cli"]


@pytest.fixture(autouse=True)
def _no_labs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever runs on this machine is not these tests' affair."""
    monkeypatch.setenv("ELASTICLAB_STATE", str(tmp_path / "state"))


def verbs(group: click.Group = labctl, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from verbs(command, f"{path}{name} ")


def completed(*words: str) -> list[str]:
    *arguments, begun = words
    found = ShellComplete(labctl, {}, "labctl", VARIABLE).get_completions(list(arguments), begun)
    return [item.value for item in found]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["labctl", *arguments])
    return main()


def conforms(content: object, kind: object) -> bool:
    """Whether JSON is what the reference says: no key more, none less."""
    if typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind)
        return (
            isinstance(content, dict)
            and (content.keys() == hints.keys() or (kind in OPEN and content.keys() > hints.keys()))
            and all(conforms(content[key], hint) for key, hint in hints.items())
        )
    if typing.get_origin(kind) is list:
        return isinstance(content, list) and all(conforms(part, typing.get_args(kind)[0]) for part in content)
    if options := typing.get_args(kind):
        return typing.get_origin(kind) is dict or any(conforms(content, option) for option in options)
    return isinstance(content, (int, float) if kind is float else typing.cast(type, kind))


@pytest.mark.parametrize(("verb", "command"), [pytest.param(*found, id=found[0]) for found in verbs()])
def test_every_verb_has_help_with_examples(verb: str, command: click.Command) -> None:
    assert command.help
    examples = [line for line in command.help.splitlines() if "labctl" in line and verb.split(maxsplit=1)[0] in line]
    assert examples, f"`labctl {verb} --help` shows no example"


@pytest.mark.parametrize("verb", sorted(OUTPUTS))
def test_what_is_documented_as_json_has_the_option(verb: str) -> None:
    known = dict(verbs())
    command = known.get(verb) or known[verb.rsplit(" ", 1)[0]]
    assert any("--json" in parameter.opts for parameter in command.params)


def test_every_option_for_json_is_documented() -> None:
    told_elsewhere = {"order", "fault run"}
    having = {name for name, command in verbs() if any("--json" in parameter.opts for parameter in command.params)}
    assert having - told_elsewhere <= {verb.removesuffix(" NAME") for verb in OUTPUTS}


def test_what_has_no_json_passes_on_what_another_program_says() -> None:
    passing = {"completion", "exec", "export", "logs", "shell", "test"}
    without = {
        name
        for name, command in verbs()
        if not isinstance(command, click.Group) and not any("--json" in one.opts for one in command.params)
    }
    assert without == passing


def test_json_is_as_documented(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.clab.yml"
    wrong.write_text("name: wrong\ntopology:\n  nodes:\n    a: {kind: linux, imag: x}\n")
    commands = {
        "status": ([], 0),
        "validate": (["demo", str(wrong)], 2),
        "fault list": ([], 0),
        "fault show": (["bad-line"], 0),
        "bench": ([], 0),
    }
    for verb, (arguments, status) in commands.items():
        assert run(monkeypatch, *verb.split(), "--json", *arguments) == status
        assert any(conforms(json.loads(capsys.readouterr().out), kind) for kind in OUTPUTS[verb]), verb
    assert run(monkeypatch, "validate", str(wrong)) == 2
    assert f"{wrong}:4:22" in capsys.readouterr().err


def test_a_key_too_many_or_too_few_is_seen() -> None:
    good = {"name": "a", "topology": "b", "host": "local", "engine": "native", "state": "up"}
    kind = OUTPUTS["status"][0]
    assert conforms([good], kind)
    assert not conforms([{**good, "more": 1}], kind)
    assert not conforms([{**good, "state": None}], kind)
    assert not conforms([{key: good[key] for key in ("name", "topology", "host")}], kind)


def test_names_are_completed() -> None:
    assert "validate" in completed("va")
    assert {"demo", "plain", "breakable"} <= set(completed("up", ""))
    assert completed("fault", "run", "loss-") == ["loss-5", "loss-asymmetric"]
    assert "jitter" in completed("fault", "show", "j")
    assert completed("exec", "-l", "no-such-lab", "ho") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_is_told_how_to_complete(
    shell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "completion", shell) == 0
    script = capsys.readouterr().out
    assert VARIABLE in script
    assert "labctl.py" in script


def test_bash_completes() -> None:
    """The real shell, from the script to the word."""
    program = REPOSITORY / "labctl.py"
    script = (
        f'eval "$({program} completion bash)"\n'
        f"COMP_WORDS=({program} validate dem); COMP_CWORD=2; _labctlpy_completion {program}\n"
        "printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["demo"]


def on_terminal(**environment: str) -> str:
    """What labctl prints of an error on a terminal."""
    near, far = pty.openpty()
    base = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    subprocess.run(
        [*PYTHON, "exec", "-l", "no-such-lab", "node", "true"], stdout=far, stderr=far, check=False, cwd=REPOSITORY,
        env={**base, "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    os.close(far)
    said = b""
    while True:
        try:
            part = os.read(near, 4096)
        except OSError:  # its other end is closed
            break
        if not part:
            break
        said += part
    os.close(near)
    return said.decode()


def test_colours_are_for_terminals_that_want_them() -> None:
    red = "\x1b[1;31m"
    assert red in on_terminal()
    assert red not in on_terminal(NO_COLOR="1")
    piped = subprocess.run(
        [*PYTHON, "exec", "-l", "no-such-lab", "node", "true"], capture_output=True, check=False, cwd=REPOSITORY
    )
    assert b"\x1b" not in piped.stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["validate", "demo"], 0),
        (["exec", "-l", "no-such-lab", "node", "true"], 1),
        (["down", "no-such-lab"], 1),
        (["no-such-verb"], 2),
        (["status", "--no-such-option"], 2),
        (["validate", "no-such-topology"], 2),
        (["up", "no-such-topology"], 2),
        (["fault", "run", "no-such-scenario"], 2),
    ],
)
def test_exit_statuses_are_as_documented(arguments: list[str], status: int) -> None:
    assert subprocess.run([*PYTHON, *arguments], capture_output=True, check=False, cwd=REPOSITORY).returncode == status


def test_a_machine_that_is_refused_is_status_3(tmp_path: Path) -> None:
    release = tmp_path / "os-release"
    release.write_text('ID=fedora\nVERSION_ID="43"\nPRETTY_NAME="Fedora 43"\n')
    elsewhere = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/os-release && exec "$@"', str(release)]
    done = subprocess.run(
        [*elsewhere, sys.executable, str(REPOSITORY / "labctl.py"), "status"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "Fedora 43 is not supported" in done.stderr


def test_what_is_told_is_told_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """No style and no emoji is read out of addresses and names."""
    say("[bold]2001:db8:a:b::1[/] of [lan]")
    table = Table("[red]", box=None)
    table.add_row("fd00:a:b:m::1 [wan]")
    terminal().print(table)
    said = capsys.readouterr()
    assert said.err == "labctl: [bold]2001:db8:a:b::1[/] of [lan]\n"
    assert [line.strip() for line in said.out.splitlines()] == ["[red]", "fd00:a:b:m::1 [wan]"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["spec", "--output", "/no-such-folder/spec.html"],
            "/no-such-folder/spec.html: No such file or directory (check",
        ),
        (["fault", "run", "cut"], "it is a kind of fault: write a file that has it; `labctl fault show cut` says"),
        (["test", "--reuse", "no-such-lab"], "there is no lab 'no-such-lab'"),
        (["report", "docs"], "docs has no results of tests; `labctl test` or pytest --alluredir writes them"),
    ],
)
def test_an_error_says_what_is_wrong_and_what_helps(
    arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert run(monkeypatch, *arguments) in (1, 2)
    assert told in " ".join(capsys.readouterr().err.split())
