"""Go templates (pkg.go.dev/text/template) with Docker's functions, for ``--format``.

`compile` gives a template, `Template.render` its text for one value.  Values are JSON's, plus `Struct`, whose missing
fields are an error where a map's are ``<no value>``, and `Row`, whose fields are worked out when they are asked for.
Loaded only when a format is given.
"""

from __future__ import annotations

from wherry.cli.template.execute import Template, compile
from wherry.cli.template.lex import TemplateError
from wherry.cli.template.values import Named, Nil, Row, Struct

__all__ = ["Named", "Nil", "Row", "Struct", "Template", "TemplateError", "compile"]
