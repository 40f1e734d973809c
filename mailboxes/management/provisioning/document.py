"""Reads a YAML file without losing where things stand: every value knows its line."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

STRING, NULL, BOOLEAN, INTEGER = (f"tag:yaml.org,2002:{name}" for name in ("str", "null", "bool", "int"))


@dataclass(frozen=True, order=True)
class Complaint:
    """What is wrong, and where."""

    line: int
    key: str
    sentence: str


class Rejected(Exception):
    """The file cannot be applied; `complaints` say why."""

    def __init__(self, complaints: list[Complaint]) -> None:
        """Keep the complaints in the order of the file."""
        super().__init__(f"{len(complaints)} complaints")
        self.complaints = sorted(set(complaints))


@dataclass(frozen=True)
class Scalar:
    """One value: its text as written, its YAML type and its line. Never printed: it may be a secret."""

    key: str
    line: int
    tag: str
    text: str = field(repr=False)


@dataclass
class Section:
    """A mapping of the file."""

    path: str
    line: int
    complaints: list[Complaint] = field(repr=False)
    _nodes: dict[str, yaml.Node] = field(default_factory=dict, repr=False)
    _lines: dict[str, int] = field(default_factory=dict, repr=False)

    def __contains__(self, key: str) -> bool:
        return key in self._nodes

    def add(self, key_node: yaml.Node, value: yaml.Node) -> None:
        """Take up one key with its value; the second of two equal keys is refused."""
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else ""
        line = key_node.start_mark.line + 1
        if key in self._nodes:
            sentence = f"The key stands here twice; the first time in line {self._lines[key]}."
            self.complaints.append(Complaint(line, f"{self.path}.{key}".lstrip("."), sentence))
        else:
            self._nodes[key], self._lines[key] = value, line

    def complain(self, key: str, sentence: str) -> None:
        """Note what is wrong with `key`, at its line, or at the section's when it is not there."""
        path = f"{self.path}.{key}" if self.path and key else key or self.path
        self.complaints.append(Complaint(self._lines.get(key, self.line), path, sentence))

    def refuse_unknown(self, known: set[str]) -> None:
        """Complain about keys that mean nothing."""
        for key in self._nodes:
            if key not in known:
                self.complain(key, f"There is no such key here. Known are: {', '.join(sorted(known))}.")

    def scalar(self, key: str) -> Scalar | None:
        """Return the value of `key`, or None when it is missing or not a single value."""
        node = self._nodes.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode):
            self.complain(key, "This must be a single value.")
            return None
        return Scalar(key=key, line=self._lines[key], tag=node.tag, text=node.value)

    def section(self, key: str) -> "Section | None":
        """Return the mapping under `key`."""
        node = self._nodes.get(key)
        if node is None or _is_null(node):
            return None
        return _section(node, path=f"{self.path}.{key}".lstrip("."), complaints=self.complaints)

    def sections(self, key: str) -> "Iterator[Section]":
        """Yield the mappings listed under `key`."""
        node = self._nodes.get(key)
        if node is None or _is_null(node):
            return
        if not isinstance(node, yaml.SequenceNode):
            self.complain(key, "This must be a list: each entry begins with a dash.")
            return
        for number, item in enumerate(node.value, start=1):
            section = _section(
                item, path=f"{self.path}.{key}[{number}]".lstrip("."), complaints=self.complaints
            )
            if section is not None:
                yield section


def read(path: Path) -> Section:
    """Return the file's top mapping. Raises Rejected when it is no YAML mapping, OSError when unreadable."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise Rejected([Complaint(1, "", "The file is not UTF-8 text.")]) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        sentence = f"This is not YAML: {error.problem or error.context}."
        raise Rejected([Complaint(mark.line + 1 if mark else 1, "", sentence)]) from error
    except yaml.YAMLError as error:
        raise Rejected([Complaint(1, "", "The file holds characters that YAML does not allow.")]) from error
    complaints: list[Complaint] = []
    top = None if node is None else _section(node, path="", complaints=complaints)
    if top is None:
        raise Rejected(complaints or [Complaint(1, "", "The file is empty. It begins with: environments:")])
    return top


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == NULL


def _section(node: yaml.Node, *, path: str, complaints: list[Complaint]) -> Section | None:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        complaints.append(Complaint(line, path, "Keys with values are expected here, such as name: Contoso."))
        return None
    section = Section(path=path, line=line, complaints=complaints)
    for key, value in node.value:
        section.add(key, value)
    return section
