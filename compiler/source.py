"""Reads a YAML file into plain values, and remembers the place in the file of each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml

from compiler.errors import Diagnostic, Span, StudyInvalid

MAX_BYTES = 512 * 1024
MAX_DEPTH = 64
MAX_NODES = 100_000

Path_ = tuple[str | int, ...]

# YAML 1.2 core schema: `no` is Norwegian, `1e-5` is a number, `010` is ten.
_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_TRUE = re.compile(r"(?:true|True|TRUE)\Z")
_FALSE = re.compile(r"(?:false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map")}


class _Loader(yaml.SafeLoader):
    """Composes nodes without YAML 1.1's guesses: every plain scalar stays a string here."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]


class _QuickLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same, through libyaml."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


@dataclass(frozen=True)
class Document:
    """The values of a file, with spans by path; ``keys`` holds the spans of mapping keys."""

    file: str
    value: Any
    spans: Mapping[Path_, Span]
    keys: Mapping[Path_, Span]
    lines: tuple[str, ...] = field(repr=False, default=())

    def span(self, path: Path_, *, key: bool = False) -> Span:
        """Return the place of a path, or of the nearest enclosing value that the file has."""
        if key and path in self.keys:
            return self.keys[path]
        while path:
            if path in self.spans:
                return self.spans[path]
            path = path[:-1]
        return self.spans.get((), Span(self.file, 1, 1))


def read(path: Path, *, shown: str | None = None, ours: bool = False) -> Document:
    """Read a YAML file; ``shown`` is the name to print for it.

    ``ours`` marks a file that comes with Stiltscale, which libyaml may read: quicker, with other
    words for mistakes of syntax.

    Raises StudyInvalid with codes S001 (unreadable) to S008 (see ``docs``).
    """
    name = shown or str(path)
    try:
        if path.is_dir():
            raise _invalid("S001", name, "this is a folder, not a study file", "name a .yaml file")
        if path.stat().st_size > MAX_BYTES:
            raise _invalid(
                "S002",
                name,
                f"the file is larger than {MAX_BYTES // 1024} KiB",
                "a study file is a page or two; is this the right file?",
            )
        raw = path.read_bytes()
    except FileNotFoundError:
        raise _invalid(
            "S001", name, "there is no such file", "check the path; `ls specs/studies` lists ours"
        ) from None
    except OSError as error:
        raise _invalid(
            "S001", name, f"the file cannot be read: {error.strerror}", "check its permissions"
        ) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        span = Span(name, line, 1)
        raise StudyInvalid(
            [Diagnostic("S002", "error", "the file is not UTF-8 text", "save it as UTF-8", span)]
        ) from None
    return parse(text, name, quick=ours and yaml.__with_libyaml__)


def parse(text: str, file: str = "study.yaml", *, quick: bool = False) -> Document:
    """Parse YAML text; raises StudyInvalid with every duplicate key and refused construct."""
    lines = tuple(text.splitlines())
    _refuse_unparsable(text, lines, file)
    problems: list[Diagnostic] = []
    try:
        if not quick:
            _refuse_deep(text, lines, file)
        node = _compose(text, quick)
    except yaml.MarkedYAMLError as error:
        quote = "quoted scalar" in (error.context or "")
        mark = error.context_mark if quote else error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what, hint = _yaml_words(error, _line(lines, line))
        span = Span(file, line, column, _line(lines, line))
        raise StudyInvalid(
            [Diagnostic("S004", "error", f"this is not valid YAML: {what}", hint, span)]
        ) from None
    except yaml.YAMLError as error:
        raise _invalid("S004", file, f"this is not valid YAML: {error}", "") from None
    except (ValueError, OverflowError):  # PyYAML lets `"\UFFFFFFFF"` and absurd versions through
        escape = re.search(r"\\U(?!000|0010)[0-9a-fA-F]{8}", text)
        number = text.count("\n", 0, escape.start()) + 1 if escape else 1
        span = Span(file, number, 1, _line(lines, number)) if escape else Span(file, 0, 0)
        what = "this is not valid YAML: a character code or a version is too large"
        raise StudyInvalid(
            [Diagnostic("S004", "error", what, "remove the `\\U` or `%` line", span)]
        ) from None
    if node is None:
        raise _invalid("S003", file, "the file is empty", "start with `study: my-study`")
    spans: dict[Path_, Span] = {}
    keys: dict[Path_, Span] = {}
    walker = _Walker(file, lines, spans, keys, problems)
    value = walker.value(node, ())
    if not problems and not isinstance(value, dict):
        problems.append(
            Diagnostic(
                "S003",
                "error",
                f"the file holds {_kind(value)}, not a mapping of fields",
                "start with `study: my-study`",
                spans.get(()),
            )
        )
    if problems:
        raise StudyInvalid(problems)
    return Document(file, value, spans, keys, lines)


@dataclass
class _Walker:
    """Turns composed nodes into values, collecting spans and problems on the way."""

    file: str
    lines: tuple[str, ...]
    spans: dict[Path_, Span]
    keys: dict[Path_, Span]
    problems: list[Diagnostic]
    seen: int = 0

    def value(self, node: yaml.Node, path: Path_) -> Any:
        self.seen += 1
        if self.seen > MAX_NODES:
            if self.seen == MAX_NODES + 1:
                self._problem("S006", node, "the aliases expand to too many values", "spell it out")
            return None
        self.spans[path] = self._span(node)
        if len(path) > MAX_DEPTH:  # the text is flatter than that, so an alias is at work
            if not any(d.code == "S006" for d in self.problems):
                what = f"aliases nest the values deeper than {MAX_DEPTH} levels"
                self._problem("S006", node, what, "spell it out")
            return None
        if node.tag not in _PLAIN_TAGS:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self._problem("S007", node, f"the tag {tag} is not allowed here", "remove the tag")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        self._printable(node)
        return node.value if node.style else _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem("S007", key_node, "a key must be a plain word", "write `key: value`")
                continue
            key = str(key_node.value)
            self._printable(key_node)
            if key in result:
                first = self.keys[(*path, key)].line
                self._problem(
                    "S005",
                    key_node,
                    f"`{key}` is here twice (first on line {first})",
                    "keep one of the two",
                )
                continue
            self.keys[(*path, key)] = self._span(key_node)
            result[key] = self.value(value_node, (*path, key))
        return result

    def _printable(self, node: yaml.ScalarNode) -> None:
        """Refuse what an escape in double quotes can smuggle past the check of the file's text."""
        bad = _UNPRINTABLE.search(node.value)
        if bad:
            what = f"the text has a character that is not for texts (U+{ord(bad.group()):04X})"
            self._problem("S002", node, what, "remove the escape")

    def _span(self, node: yaml.Node) -> Span:
        start, end = node.start_mark, node.end_mark
        text = _line(self.lines, start.line + 1)
        same_line = end.line == start.line
        width = max(1, end.column - start.column) if same_line else max(1, len(text) - start.column)
        return Span(self.file, start.line + 1, start.column + 1, text, width)

    def _problem(self, code: str, node: yaml.Node, message: str, hint: str) -> None:
        self.problems.append(Diagnostic(code, "error", message, hint, self._span(node)))


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if _NULL.match(text):
        return None
    if _TRUE.match(text):
        return True
    if _FALSE.match(text):
        return False
    if _INT.match(text):
        return int(text) if len(text) < 400 else text
    if _BASED.match(text):
        return int(text, 0)
    if _FLOAT.match(text) or _SPECIAL.match(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _compose(text: str, quick: bool) -> yaml.Node | None:
    loader = _QuickLoader(text) if quick else _Loader(text)
    try:
        node = loader.get_single_node()
        return node if isinstance(node, yaml.Node) else None
    finally:
        loader.dispose()


def _refuse_unparsable(text: str, lines: tuple[str, ...], file: str) -> None:
    for number, line in enumerate(lines, 1):
        if line.startswith(("<<<<<<< ", ">>>>>>> ")):
            span = Span(file, number, 1, line, len(line))
            raise StudyInvalid(
                [
                    Diagnostic(
                        "S008",
                        "error",
                        "a merge conflict was left in the file",
                        "settle the conflict and remove the marker lines",
                        span,
                    )
                ]
            )
    bad = _UNPRINTABLE.search(text)
    if bad:
        number = text.count("\n", 0, bad.start()) + 1
        span = Span(file, number, bad.start() - text.rfind("\n", 0, bad.start()))
        what = f"the file has a control character (U+{ord(bad.group()):04X})"
        raise StudyInvalid(
            [Diagnostic("S002", "error", what, "is this a text file? remove it", span)]
        )


def _refuse_deep(text: str, lines: tuple[str, ...], file: str) -> None:
    depth = 0
    for event in _events(text):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                mark = event.start_mark
                line = mark.line + 1 if mark else 1
                span = Span(file, line, 1, _line(lines, line)[:120])
                what = f"the values are nested deeper than {MAX_DEPTH} levels"
                raise StudyInvalid([Diagnostic("S006", "error", what, "flatten it", span)])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _events(text: str) -> Iterator[yaml.Event]:
    yield from yaml.parse(text, Loader=_Loader)


def _yaml_words(error: yaml.MarkedYAMLError, line: str) -> tuple[str, str]:
    """Say what PyYAML found in an author's words, and what to do."""
    problem = (error.problem or error.context or "not valid YAML").strip()
    context = error.context or ""
    opened = f"line {error.context_mark.line + 1}" if error.context_mark else "a line before"
    if "\t" in line and ("token" in problem or "indent" in problem):
        return "a tab stands where the indentation is", "indent with spaces"
    if "mapping values are not allowed" in problem:
        return (
            "a `:` where no field can begin",
            "put quotes around a value that contains `: `, or check the indentation",
        )
    if "undefined alias" in problem:
        return problem, "define the anchor (&name) before it is used, or quote the `*`"
    if "another document" in problem:
        return "a second document begins here", "a study is one document; remove the `---`"
    if "while parsing a flow" in context:
        return problem, f"close the bracket of {opened}, or add the missing comma"
    if "quoted scalar" in context and "end of" in problem:
        return "a quote is opened here and not closed", "close it"
    if "<block end>" in problem:
        return (
            "this does not continue what is above it",
            "indent it like its neighbours; a field is `key: value`",
        )
    if "incompatible YAML" in problem:
        return problem, "remove the line that starts with `%`"
    return problem, "check indentation, quotes and brackets on this line and the one before"


def _line(lines: tuple[str, ...], number: int) -> str:
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return {list: "a list", str: "a text", bool: "true or false"}.get(type(value), "a number")


def _invalid(code: str, file: str, message: str, hint: str) -> StudyInvalid:
    """Return a finding about the file as a whole, which has no line."""
    return StudyInvalid([Diagnostic(code, "error", message, hint, Span(file, 0, 0))])
