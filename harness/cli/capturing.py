"""`labctl capture`: many links at once, one file in the order of time, and the keys to read it."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import click

from harness import build
from harness import lab as labs
from harness.cli.options import JSON, LAB, LinkEnd, console, print_json
from harness.cli.output import CaptureOut
from harness.cli.reporter import reporter
from harness.host.channel import AgentLost
from harness.lab import Lab, LabError, keys, reader
from harness.lab.capture import Capture

_KEYS_EVERY = 2.0
"""Seconds between two looks at the boxes' keys: associations that live shorter stay unread."""


class Rotation(click.ParamType[tuple[int, int]]):
    """MB:FILES."""

    name = "MB:FILES"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"([1-9]\d{0,5}):([1-9]\d{0,3})", value)
        if found is None:
            self.fail(f"{value!r} is not MB:FILES; write 10:4 for at most 4 files of 10 MB for each end", param, ctx)
        return int(found[1]), int(found[2])


@click.command()
@LAB
@JSON
@click.argument("ends", nargs=-1, required=True, metavar="END...", type=LinkEnd())
@click.option("--filter", "expression", default="", help="Only what matches (pcap-filter(7)).")
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), default="captures", show_default=True, help="Folder."
)
@click.option("--seconds", type=click.FloatRange(min=0), help="How long; else until Ctrl-C.")
@click.option(
    "--rotate", type=Rotation(), help="Bound the disk for each end: files of so many MB, the oldest overwritten."
)
@click.option(
    "--decrypt", is_flag=True, help="Put the keys of the boxes' ESP and IKE beside it, for Wireshark. They are secrets."
)
def capture(
    name: str, as_json: bool, ends: tuple[str, ...], expression: str, output: Path, seconds: float | None,
    rotate: tuple[int, int] | None, decrypt: bool,
) -> None:  # fmt: skip
    """Capture what passes ends of links, all at once, into one file in the order of time.

    END is NODE:INTERFACE. Ctrl-C ends the capture; what was captured is kept.

    \b
    labctl capture ucpe-1:wan vmsr-1:wan --seconds 10
    labctl capture ucpe-1:wan --filter esp --rotate 10:4
    labctl capture vmsr-1:wan --seconds 10 --decrypt
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with reporter() as progress:
        build.ensure([reader.IMAGE], progress)
    known: set[keys.EspKey] = set()
    ike: set[keys.IkeKey] = set()
    begun = time.monotonic()
    with labs.attach(name) as lab, _naming_what_is_left(lab), contextlib.ExitStack() as taken:
        if decrypt:
            taken.enter_context(keys.ike_told(lab))
        captures = [taken.enter_context(lab.capture(end, expression, rotate)) for end in dict.fromkeys(ends)]
        with contextlib.suppress(KeyboardInterrupt):
            if not as_json:
                console.print(f"capturing on {', '.join(ends)}" + ("" if seconds else "; Ctrl-C ends it"))
            _wait(lab, seconds, known, decrypt)
        if decrypt:
            known |= keys.esp_keys(lab)
            ike = keys.ike_keys(lab)
    lasted = time.monotonic() - begun
    output.mkdir(parents=True, exist_ok=True)
    file = output / "capture.pcapng"
    _merge(captures, file)
    folder = output / "wireshark"
    if decrypt:
        keys.write(known, ike, folder)
    told: CaptureOut = {
        "file": str(file),
        "ends": list(dict.fromkeys(ends)),
        "packets": _packets(file),
        "seconds": round(lasted, 3),
        "keys": str(folder) if decrypt else None,
    }
    if as_json:
        return print_json(told)
    console.print(f"{told['packets']} packets in {file}", soft_wrap=True)
    if decrypt:
        console.print(f"keys in {folder}: secrets; WIRESHARK_CONFIG_DIR={folder} wireshark {file}", soft_wrap=True)
    return None


@contextlib.contextmanager
def _naming_what_is_left(lab: Lab) -> Iterator[None]:
    """If nothing can be asked any more, there is still what was captured."""
    try:
        yield
    except AgentLost as error:
        raise LabError(
            f"lab {lab.name} does not answer any more; what was captured is in {lab.place.captures}"
        ) from error


def _wait(lab: Lab, seconds: float | None, known: set[keys.EspKey], decrypt: bool) -> None:
    """Until it is over or the lab is lost; with the keys that come and go meanwhile."""
    end = float("inf") if seconds is None else time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if decrypt:
            known |= keys.esp_keys(lab)
        if lab.agent.lost.wait(min(left, _KEYS_EVERY)):
            raise AgentLost(f"lab {lab.name} does not answer any more")


def _merge(captures: list[Capture], file: Path) -> None:
    """One pcapng; each capture stays an interface of it."""
    folder = captures[0].file.parent
    binds = [build.Bind(folder, "/in"), build.Bind(file.parent.absolute(), "/out", writable=True)]
    names = [f"/in/{part.name}" for taken in captures for part in taken.files]
    reader.said(["mergecap", "-F", "pcapng", "-I", "none", "-w", f"/out/{file.name}", *names], binds)


def _packets(file: Path) -> int:
    binds = [build.Bind(file.parent.absolute(), "/in")]
    said = reader.said(["capinfos", "-c", "-M", "-T", "-r", f"/in/{file.name}"], binds)
    return int(said.split()[-1])
