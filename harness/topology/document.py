"""A topology file, or another in YAML, as a tree of marked values: each knows its line and column.

PyYAML's constructors lose the marks, accept duplicate keys and expand aliases without bound. This builds
its own small tree from libyaml's events instead: no recursion (a thousand brackets cannot exhaust the stack) and
bounds on size, depth and expansion, because a topology may come from anyone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import yaml

from .problems import Problems

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 32
MAX_VALUES = 400_000
"""Values after expansion of aliases: ten nested aliases of ten ("a billion laughs") stop here."""

_NULL = frozenset({"", "~", "null", "Null", "NULL"})  # YAML 1.1, https://yaml.org/type/null.html
_VARIABLE = re.compile(r"\$\{[^}]{0,32}\}?|\$[A-Za-z_][A-Za-z0-9_]*|__(?:clab|git)[A-Za-z]+__")
_TEMPLATE = re.compile(r"\{\{")


@dataclass(slots=True, eq=False)
class Scalar:
    line: int
    column: int
    text: str
    plain: bool
    size: int = 1

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in _NULL


@dataclass(slots=True, eq=False)
class Sequence:
    line: int
    column: int
    items: list[Value] = field(default_factory=list)
    size: int = 1


@dataclass(slots=True, eq=False)
class Mapping:
    line: int
    column: int
    entries: dict[str, tuple[Scalar, Value]] = field(default_factory=dict)
    size: int = 1

    def get(self, key: str) -> Value | None:
        entry = self.entries.get(key)
        return entry[1] if entry else None

    def key(self, key: str) -> Scalar:
        return self.entries[key][0]


Value = Scalar | Sequence | Mapping


def describe(value: Value) -> str:
    """The value in a reader's words, shortened."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence):
        return "a list"
    if value.is_null:
        return "nothing"
    return f'"{value.text if len(value.text) <= 40 else value.text[:37] + "..."}"'


def _place(event: yaml.Event) -> tuple[int, int]:
    """Line and column of an event, from 1 as editors count."""
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


@dataclass(frozen=True, slots=True)
class Form:
    """What a kind of file is called, how it begins, and whether containerlab would replace words in it."""

    noun: str
    pattern: str
    start: str
    split: str
    replaced: bool = False


TOPOLOGY = Form(
    "topology", "*.clab.yml", 'start with "name:" and "topology:"', "split the topology into several labs", True
)


class _Abort(Exception):
    """The document is not worth reading further; the problem is already noted."""


def parse(path: Path, problems: Problems, form: Form = TOPOLOGY) -> Mapping | None:
    """The file's top-level mapping, or None when there is none; what is wrong is added to `problems`."""
    text = _read(path, problems, form)
    if text is None:
        return None
    try:
        root = _Builder(problems, form).build(text)
    except _Abort:
        return None
    except yaml.MarkedYAMLError as error:
        _note_syntax(error, text, problems)
        return None
    except yaml.YAMLError as error:
        detail = str(error).partition("\n")[0]
        problems.add(None, f"not YAML: {detail}", "save the file as plain UTF-8 text")
        return None
    if isinstance(root, Mapping):
        return root
    if root is None or (isinstance(root, Scalar) and root.is_null):
        problems.add(None, "the file is empty", form.start)
    else:
        problems.add(root, f"the file holds {describe(root)}, not a mapping", form.start)
    return None


def _read(path: Path, problems: Problems, form: Form) -> str | None:
    try:
        if path.exists() and not path.is_file():  # a FIFO or device would block or never end
            problems.add(None, "not a regular file", f"name a {form.pattern} file")
            return None
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        problems.add(None, f"cannot be read: {error}", "check the path and its permissions")
        return None
    if len(raw) > MAX_BYTES:
        problems.add(None, f"larger than {MAX_BYTES // 2**20} MiB", form.split)
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        problems.add(Scalar(line, column, "", True), "a byte that is not UTF-8", "save the file as UTF-8")
        return None
    return None if form.replaced and _templated(text, problems) else text


def _templated(text: str, problems: Problems) -> bool:
    """containerlab runs the whole file, comments too, through Go's text/template first; we have no Go."""
    for match in _TEMPLATE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        column = match.start() - text.rfind("\n", 0, match.start())
        problems.add(
            Scalar(line, column, "", True),
            'Go templates ("{{") are not supported',
            "render the file first or write the values out",
        )
        return True
    return False


def _note_syntax(error: yaml.MarkedYAMLError, text: str, problems: Problems) -> None:
    mark = error.problem_mark or error.context_mark
    place = Scalar(mark.line + 1, mark.column + 1, "", True) if mark else None
    what = error.problem or error.context or "malformed"
    remedy = "correct the YAML at this place; a value with : or # in it needs quotes"
    lines = text.splitlines()
    if place and place.line <= len(lines) and "\t" in lines[place.line - 1][: place.column]:
        what, remedy = "a tab where YAML wants spaces", "indent with spaces"
    problems.add(place, f"not YAML: {what}", remedy)


@dataclass(slots=True)
class _Frame:
    """A collection that is still being read."""

    value: Sequence | Mapping
    anchor: str | None
    key: Scalar | None = None


class _Builder:
    """Turns libyaml's events into the tree, with a stack of its own."""

    def __init__(self, problems: Problems, form: Form) -> None:
        self.problems = problems
        self.form = form
        self.stack: list[_Frame] = []
        self.anchors: dict[str, Value] = {}
        self.root: Value | None = None

    def build(self, text: str) -> Value | None:
        documents = 0
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._open(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                frame = self.stack.pop()
                self._complete(event, frame.value, frame.anchor)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._abort(event, "a second YAML document", f"one {self.form.noun} a file: remove the line ---")
        return self.root

    def _abort(self, event: yaml.Event, message: str, remedy: str) -> NoReturn:
        self.problems.add(Scalar(*_place(event), "", True), message, remedy)
        raise _Abort

    def _check_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag is not None:
            shown = event.tag[:60]
            self._abort(event, f'the YAML tag "{shown}" is not supported', "remove the tag, write the value plainly")

    def _check_variables(self, scalar: Scalar) -> None:
        """containerlab replaces these before it reads the file; left alone, one file would mean two labs."""
        match = _VARIABLE.search(scalar.text)
        if match:
            remedy = "write the value out; a script that needs variables goes into a file below binds"
            self.problems.add(scalar, f'the variable "{match[0][:40]}" is not supported', remedy)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._check_tag(event)
        scalar = Scalar(*_place(event), event.value, bool(event.implicit[0]))
        if self.form.replaced:
            self._check_variables(scalar)
        top = self.stack[-1] if self.stack else None
        if top is None or isinstance(top.value, Sequence) or top.key is not None:
            self._complete(event, scalar, event.anchor)
            return
        if event.anchor:
            self.anchors[event.anchor] = scalar
        self._start_entry(event, top, scalar)

    def _start_entry(self, event: yaml.Event, top: _Frame, key: Scalar) -> None:
        assert isinstance(top.value, Mapping)
        if key.plain and key.text == "<<":
            self._abort(event, "YAML merge keys (<<) are not supported", "share fields by defaults, kinds or groups")
        first = top.value.entries.get(key.text)
        if first:
            self.problems.add(
                key, f'the key "{key.text}" appears twice, first in line {first[0].line}', "remove or rename one"
            )
        top.key = key

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        self._check_tag(event)
        if len(self.stack) >= MAX_DEPTH:
            self._abort(
                event, f"nested deeper than {MAX_DEPTH} levels", f"a {self.form.noun} needs six: check the brackets"
            )
        top = self.stack[-1] if self.stack else None
        if top and isinstance(top.value, Mapping) and top.key is None:
            self._abort(event, "a key that is not plain text", "keys are names, such as node names")
        kind = Mapping if isinstance(event, yaml.MappingStartEvent) else Sequence
        self.stack.append(_Frame(kind(*_place(event)), event.anchor))

    def _alias(self, event: yaml.AliasEvent) -> None:
        # An anchor is known only once its value is complete, so no value can contain itself.
        name = event.anchor or ""
        value = self.anchors.get(name)
        if value is None:
            self._abort(event, f'the alias "*{name[:40]}" has no anchor before it', "define it earlier")
        top = self.stack[-1] if self.stack else None
        if top and isinstance(top.value, Mapping) and top.key is None:
            self._abort(event, "an alias as a key", "write the key out")
        self._complete(event, value, None)

    def _complete(self, event: yaml.Event, value: Value, anchor: str | None) -> None:
        if anchor:
            self.anchors[anchor] = value
        if not self.stack:
            self.root = value
            return
        top = self.stack[-1]
        top.value.size += value.size
        if top.value.size > MAX_VALUES:
            self._abort(event, f"more than {MAX_VALUES} values with aliases expanded", "use fewer aliases or split it")
        if isinstance(top.value, Sequence):
            top.value.items.append(value)
            return
        assert top.key is not None
        top.value.entries.setdefault(top.key.text, (top.key, value))
        top.key = None
