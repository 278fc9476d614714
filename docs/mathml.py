"""Sphinx extension: formulas become MathML when the pages are built, so browsers need no script.

`html_math_renderer = "mathml"` in conf.py chooses it. A command that latex2mathml does not know
is a warning, which `make docs` treats as an error.
"""

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

logger = logging.getLogger(__name__)


def mathml(node, latex, display):
    """Return the <math> element of a formula."""
    element = convert(latex, display=display)
    if "\\" in element:
        logger.warning("latex2mathml does not know a command in %s", latex, location=node)
    return element


def visit_inline(writer, node):
    """Write a formula that is part of a line of text."""
    writer.body.append(mathml(node, node.astext(), "inline"))
    raise nodes.SkipNode


def visit_block(writer, node):
    """Write displayed formulas: an empty line separates two, `&` marks where lines align."""
    writer.body.append(writer.starttag(node, "div", CLASS="math"))
    for formula in node.astext().split("\n\n"):
        if formula.strip():
            aligned = rf"\begin{{align*}}{formula}\end{{align*}}"
            writer.body.append(mathml(node, aligned, "block"))
    writer.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app):
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
