"""
A Sphinx extension: links from pages to source files.

A page links to a source file as to any file, `[Cutter.feed](../nettool/wire/lines.py)`, which works where the
repository is browsed.  In the HTML the source files that are linked become pages too, and a link whose text is a name
that the file defines leads to that name.  `tests/test_docs.py` holds every such link to the source, with `names_in`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def names_in(source: str) -> dict[str, int]:
    """Every name that a module, its classes and their methods define, dotted, with its line."""
    return dict(_names(ast.parse(source).body, ""))


def _names(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, int]]:
    for node in body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield prefix + node.name, node.lineno
                if isinstance(node, ast.ClassDef):
                    yield from _names(node.body, f"{prefix}{node.name}.")
                elif prefix:
                    yield from _attributes(node, prefix)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name, node.lineno


def _attributes(function: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
    """What a constructor gives its object; elsewhere it is a mere assignment."""
    if getattr(function, "name", "") != "__init__":
        return
    for node in ast.walk(function):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Attribute) and getattr(target.value, "id", "") == "self":
                yield prefix + target.attr, target.lineno


def page_of(path: str) -> str:
    """The name of the page that shows this file."""
    return f"source/{path.removesuffix('.py')}"


# What Sphinx calls


def collect(app: Any, doctree: Any) -> None:
    """Take links to source files for our own, before Sphinx makes downloads of them."""
    from sphinx.addnodes import download_reference, pending_xref

    for node in list(doctree.findall(download_reference)):
        _, absolute = app.env.relfn2path(node["reftarget"])
        path = Path(absolute).resolve()
        if path.suffix == ".py" and path.is_relative_to(ROOT):
            link = pending_xref(
                "", *node.children, refdomain="", reftype="source", reftarget=str(path.relative_to(ROOT)), refwarn=True
            )
            link.source, link.line = node.source, node.line
            node.replace_self(link)
            app.env.note_dependency(absolute)


def resolve(app: Any, env: Any, node: Any, content: Any) -> Any:
    """The link to a source file's page, and to the name that is its text."""
    from docutils.nodes import reference

    if node["reftype"] != "source":
        return None
    if app.builder.format != "html":
        return content
    path, name = node["reftarget"], node.astext()
    app.env.linked_sources = getattr(app.env, "linked_sources", set()) | {path}
    target = app.builder.get_relative_uri(node.get("refdoc", app.env.docname), page_of(path))
    if name in names_in((ROOT / path).read_text(encoding="utf-8")):
        target += f"#{name}"
    return reference("", "", content, internal=True, refuri=target)


def pages(app: Any) -> Iterator[tuple[str, dict[str, str], str]]:
    """A page for each source file that is linked."""
    for path in sorted(getattr(app.env, "linked_sources", ())):
        source = (ROOT / path).read_text(encoding="utf-8")
        lines = app.builder.highlighter.highlight_block(source, "python", linenos=False).split("\n")
        first = next(number for number, line in enumerate(lines) if "<pre>" in line)
        for name, number in names_in(source).items():
            at = first + number - 1
            start, opening, rest = lines[at].partition("<pre>") if at == first else ("", "", lines[at])
            lines[at] = f'{start}{opening}<span id="{name}"></span>{rest}'
        yield page_of(path), {"title": path, "body": f"<h1>{path}</h1>" + "\n".join(lines)}, "page.html"


def setup(app: Any) -> dict[str, Any]:
    """See Sphinx."""
    app.connect("doctree-read", collect, priority=100)
    app.connect("missing-reference", resolve)
    app.connect("html-collect-pages", pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
