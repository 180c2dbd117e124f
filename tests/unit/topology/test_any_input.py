"""Whatever a file holds, loading gives a topology or a TopologyError, nothing else."""

import tempfile
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.topology import Topology, TopologyError, load
from harness.topology.definition import FIELDS, UNSUPPORTED
from harness.topology.labels import LABELS

WORDS = sorted(
    {"name", "topology", "nodes", "links", "defaults", "kinds", "groups", "mgmt", "endpoints", "type", "mtu", "labels"}
    | {"node", "interface", "mac", "linux", "veth", "a", "b", "a:x", "b:x", "10.0.0.1", "10.0.0.0/8", "ipv4-subnet"}
    | {"prefix", "network", "external-access", "elasticlab/endpoint:latest", "esp", "6MiB", "/etc/passwd:/x", "<<", "~"}
    | FIELDS
    | set(UNSUPPORTED)
    | set(LABELS)
)
SCALARS = st.one_of(st.sampled_from(WORDS), st.text(max_size=20), st.integers(), st.floats(), st.booleans(), st.none())
KEYS = st.sampled_from(WORDS) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=40,
)
NODES = st.dictionaries(
    st.sampled_from(["a", "b", "c", "A", "host"]), st.dictionaries(st.sampled_from(sorted(FIELDS)), VALUES, max_size=4)
)
# Right at the top, arbitrary below: what is wrong in every field is met, not only at the first key.
SHAPED = st.fixed_dictionaries(
    {
        "name": st.just("lab") | VALUES,
        "topology": st.fixed_dictionaries(
            {"nodes": NODES | VALUES},
            optional={
                "defaults": VALUES,
                "kinds": st.dictionaries(st.just("linux"), VALUES),
                "groups": VALUES,
                "links": st.lists(VALUES | st.fixed_dictionaries({"endpoints": VALUES}), max_size=3),
            },
        ),
    },
    optional={"mgmt": VALUES, "prefix": VALUES, "settings": VALUES},
)


def loads(content: bytes) -> None:
    refusal: TopologyError | None
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.clab.yml"
        path.write_bytes(content)
        try:
            topology = load(path)
        except TopologyError as error:
            refusal = error
        else:
            refusal = None
    if refusal is not None:
        assert refusal.problems
        for problem in refusal.problems:
            assert (problem.message + problem.remedy).isprintable()
            assert len(problem.message) < 500
        return
    assert isinstance(topology, Topology)
    for node in topology.nodes.values():
        assert node.kind == "linux"
        assert all(node.commands)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(content: bytes) -> None:
    loads(content)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@`#,? \n\t~<.0", max_size=120))
def test_any_yaml_like_text(content: str) -> None:
    loads(content.encode())


@settings(max_examples=300, deadline=None)
@given(VALUES | SHAPED)
def test_any_tree(value: object) -> None:
    loads(yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))
