"""One self-contained HTML page out of a template and its context.

In: a folder with templates that extend `layout.html` of this package, and what they show. Out: HTML text. Guarantees
that every text is escaped, that a name the context lacks is an error, and that the same context gives the same bytes.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_SHARED = Path(__file__).with_name("templates")


def render(templates: Path, name: str, context: dict[str, Any]) -> str:
    """Return the page that template `name` in the folder `templates` makes of `context`.

    Raises jinja2.TemplateError when the template is broken or asks for what `context` lacks.
    """
    environment = Environment(
        loader=FileSystemLoader([templates, _SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name).render(context)
