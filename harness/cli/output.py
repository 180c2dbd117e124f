"""What `--json` prints, verb by verb: keys that stay, each with its meaning.

docs/generate.py makes docs/reference/json.md of this. A key may be added; one that is there keeps its name and meaning.
Addresses and times are texts as programs write them; seconds, octets and percent are numbers.
"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict


class ProblemOut(TypedDict):
    line: Annotated[int, "counted from 1; 0: the file as a whole"]
    column: Annotated[int, "counted from 1"]
    message: Annotated[str, "what is wrong"]
    remedy: Annotated[str, "what helps"]


class ValidatedOut(TypedDict):
    """A topology file; status 2 when one of them is not valid."""

    file: Annotated[str, "its path"]
    valid: Annotated[bool, "whether `up` would take it"]
    name: Annotated[str | None, "the topology's; null when it is not valid"]
    nodes: Annotated[int, "how many"]
    links: Annotated[int, "how many"]
    requires: Annotated[list[str], "what the lab host's kernel must have"]
    problems: Annotated[list[ProblemOut], "in the order of the file"]


class LabOut(TypedDict):
    """A lab of this user."""

    name: Annotated[str, "the lab's"]
    topology: Annotated[str, "path of its file"]
    host: Annotated[str, "kind of lab host: `local` or `lab-kernel`"]
    engine: Annotated[str, "what makes its nodes: `native` or `containerlab`"]
    state: Annotated[str, "`up`, `incomplete` (`labctl up` again) or `lost` (its host is gone)"]


class NodeOut(TypedDict):
    name: Annotated[str, "the node's"]
    site: Annotated[str | None, "where it stands"]
    role: Annotated[str | None, "the label `elasticlab.role`"]
    management: Annotated[str, "its address on the management network"]
    running: Annotated[bool, "whether it has power"]


class LineOut(TypedDict):
    line: Annotated[str, "the link: its two ends"]
    toward: Annotated[str, "the end that receives"]
    impaired: Annotated[str, "what is wrong with it by itself"]


# Functional, because `for` is a word of Python's.
FaultOut = TypedDict(
    "FaultOut",
    {
        "id": Annotated[str, "of this fault"],
        "seconds": Annotated[float, "since it began"],
        "text": Annotated[str, "what it is, for people"],
        "kind": Annotated[str, "its kind (`labctl fault show KIND`)"],
        "for": Annotated[float | None, "seconds that it lasts; null: until it is ended"],
        "seed": Annotated[int | None, "what repeats it; null: nothing is random"],
    },
)


class SiteOut(TypedDict):
    tenant: Annotated[str, "whose it is"]
    name: Annotated[str, "the site's"]
    access: Annotated[str, "`routed` or `bridged`"]
    vlan: Annotated[int | None, "where tenants are told apart by VLAN"]
    gateway: Annotated[str, "who routes for it"]
    state: Annotated[str, "as the orchestrator sees it"]
    reason: Annotated[str, "why it is not up"]


class TunnelOut(TypedDict):
    """An IPsec connection of a box."""

    box: Annotated[str, "the node that tells"]
    name: Annotated[str, "the connection's, in the box"]
    up: Annotated[bool, "whether it has associations"]
    remote_address: Annotated[str, "the peer's, empty when down"]
    encapsulated: Annotated[bool, "ESP in UDP (RFC 3948)"]
    packets_in: Annotated[int, "since its youngest association was made"]
    packets_out: Annotated[int, "since its youngest association was made"]


class SilentOut(TypedDict):
    box: Annotated[str, "a box that does not tell its tunnels"]
    reason: Annotated[str, "why"]


class LoginOut(TypedDict):
    user: Annotated[str, "name to log in with"]
    tenant: Annotated[str | None, "null: the administrator"]
    password_file: Annotated[str, "where the password is"]


class OrchestratorOut(TypedDict):
    portal: Annotated[str, "its address"]
    certified_by: Annotated[str, "file of the authority that certified it"]
    logins: Annotated[list[LoginOut], "who can log in"]
    sites: Annotated[list[SiteOut], "what is ordered"]
    error: Annotated[str | None, "why the sites are not known"]


class StatusOut(TypedDict):
    """One lab: `labctl status NAME`, and `labctl up`."""

    lab: Annotated[str, "its name"]
    topology: Annotated[str, "path of its file"]
    host: Annotated[str, "kind of lab host"]
    reason: Annotated[str, "why this kind"]
    engine: Annotated[str, "what makes its nodes: `native` or `containerlab`"]
    nodes: Annotated[list[NodeOut], "by site and name"]
    lines: Annotated[list[LineOut], "links that are bad by themselves"]
    faults: Annotated[list[FaultOut], "what is broken on purpose"]
    tunnels: Annotated[list[TunnelOut], "of all boxes that tell"]
    silent: Annotated[list[SilentOut], "boxes that do not"]
    orchestrator: Annotated[OrchestratorOut | None, "null: the lab has none"]


class DownOut(TypedDict):
    lab: Annotated[str, "its name"]
    left: Annotated[list[str], "what was left over; status 4 when there is any"]


class CapabilityOut(TypedDict):
    name: Annotated[str, "as in `elasticlab.requires`"]
    available: Annotated[bool, "found out by trying"]
    problem: Annotated[str, "what the kernel said"]


class PlacedOut(TypedDict):
    topology: Annotated[str, "folder in topologies/"]
    host: Annotated[str | None, "the lab host it would get; null: the file is refused"]
    reason: Annotated[str, "why"]


class EngineOut(TypedDict):
    engine: Annotated[str, "its name"]
    host: Annotated[str, "the lab host it would get"]
    reason: Annotated[str, "why"]


class DoctorOut(TypedDict):
    """This machine."""

    machine: Annotated[str, "processor architecture"]
    processors: Annotated[int, "that labctl may use"]
    kernel: Annotated[str, "release of Linux"]
    cache: Annotated[str, "folder"]
    labs: Annotated[str, "folder"]
    capabilities: Annotated[list[CapabilityOut], "of this machine's kernel"]
    engines: Annotated[list[EngineOut], "what may make nodes"]
    topologies: Annotated[list[PlacedOut], "ours"]


TimedOut = TypedDict(
    "TimedOut",
    {
        "fault": Annotated[str, "its kind; the kind's own fields stand beside these"],
        "on": Annotated[list[str], "places; none: `--on` names them"],
        "at": Annotated[float, "seconds after the beginning"],
        "for": Annotated[float | None, "seconds that it lasts"],
        "seed": Annotated[int | None, "of its own"],
    },
)


class ScenarioOut(TypedDict):
    """A scenario of faults."""

    name: Annotated[str, "for `labctl fault run`"]
    path: Annotated[str, "its file"]
    about: Annotated[str, "what happens"]
    faults: Annotated[list[TimedOut], "in the order of the file"]


class KindOut(TypedDict):
    """A kind of fault."""

    kind: Annotated[str, "its name"]
    on: Annotated[str, "what it is done to: `cables`, `nodes`, …"]
    about: Annotated[str | None, "what it is"]
    defaults: Annotated[dict[str, Any], "its fields"]


class GraphNodeOut(TypedDict):
    name: Annotated[str, "the node's"]
    site: Annotated[str | None, "where it stands"]
    role: Annotated[str | None, "the label `elasticlab.role`"]


class GraphLinkOut(TypedDict):
    a: Annotated[str, "NODE:INTERFACE"]
    b: Annotated[str, "NODE:INTERFACE"]
    mtu: Annotated[int, "octets"]


class GraphOut(TypedDict):
    """What is drawn."""

    topology: Annotated[str, "its name"]
    nodes: Annotated[list[GraphNodeOut], "in the order of the file"]
    links: Annotated[list[GraphLinkOut], "in the order of the file"]
    tunnels: Annotated[list[TunnelOut], "of a running lab; else none"]


class CaptureOut(TypedDict):
    """What was captured."""

    file: Annotated[str, "pcapng with all of it, in the order of time"]
    ends: Annotated[list[str], "where"]
    packets: Annotated[int, "in the file"]
    seconds: Annotated[float, "that it lasted"]
    keys: Annotated[str | None, "folder with the keys for Wireshark; null without --decrypt"]


class TopNodeOut(TypedDict):
    name: Annotated[str, "the node's"]
    running: Annotated[bool, "whether it has power"]
    cpu: Annotated[float, "percent of one processor"]
    memory: Annotated[int, "octets"]


class TopEndOut(TypedDict):
    end: Annotated[str, "NODE:INTERFACE"]
    bits: Annotated[int, "that it sends in a second"]
    packets: Annotated[float, "that it sends in a second"]


class TopOut(TypedDict):
    """One look at a running lab."""

    lab: Annotated[str, "its name"]
    seconds: Annotated[float, "that the rates are of"]
    nodes: Annotated[list[TopNodeOut], "in the order of the file"]
    ends: Annotated[list[TopEndOut], "of all links"]
    tunnels: Annotated[list[TunnelOut], "of all boxes that tell"]


class FlakeOut(TypedDict):
    test: Annotated[str, "its module, class and name"]
    runs: Annotated[int, "in which it was not skipped"]
    failed: Annotated[int, "of these"]
    flips: Annotated[int, "ends that were not those of the run before"]
    last: Annotated[str, "how it ended now: `passed`, `failed`, `broken` or `skipped`"]


class ReportOut(TypedDict):
    """What was rendered."""

    report: Annotated[str, "folder with its pages"]
    history: Annotated[str, "file with this run and those before"]
    tests: Annotated[list[FlakeOut], "of this run, the least trustworthy first"]


class BenchmarkOut(TypedDict):
    """Something that can be measured."""

    name: Annotated[str, "what `labctl bench` calls it"]
    about: Annotated[str, "what it is, in a line"]


class ImageOut(TypedDict):
    image: Annotated[str, "its name with the tag, as topologies have it"]
    digest: Annotated[str, "of its manifest"]


class ImagesOut(TypedDict):
    """The archive that was written."""

    file: Annotated[str, "its path"]
    images: Annotated[list[ImageOut], "what is in it"]


class SpecOut(TypedDict):
    """A test."""

    file: Annotated[str, "where it is"]
    line: Annotated[int, "of the file"]
    group: Annotated[str, "folder below tests/"]
    topic: Annotated[str, "what its file is about"]
    test: Annotated[str, "what it proves, by its name"]
    about: Annotated[str, "the same in its own words, if it has any"]
    steps: Annotated[list[str], "in their order"]
    requirements: Annotated[list[str], "that it names"]


OUTPUTS: dict[str, tuple[Any, ...]] = {
    "up": (StatusOut,),
    "down": (DownOut,),
    "status": (list[LabOut],),
    "status NAME": (StatusOut,),
    "validate": (list[ValidatedOut],),
    "doctor": (DoctorOut,),
    "graph": (GraphOut,),
    "capture": (CaptureOut,),
    "top": (TopOut,),
    "spec": (list[SpecOut],),
    "report": (ReportOut,),
    "bench": (list[BenchmarkOut],),
    "image export": (ImagesOut,),
    "fault list": (list[ScenarioOut],),
    "fault show": (ScenarioOut, KindOut),
    "fault status": (list[FaultOut],),
    "fault clear": (list[str],),
}
"""Verb → what it prints; of several, one. `order` and `fault run` are told in the page itself."""
