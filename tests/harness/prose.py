"""Check the words and the sentence lengths of what people read.

In: the Markdown files that git tracks, and of the Python code help texts and error messages. Out: one line a
finding, exit code 1 if there is any. Words that are not used, each with what to write instead, stand in
docs/words.toml; a sentence has at most 30 words there. Code, links' targets and the frozen changelog do not count.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

MOST_WORDS = 30
LONGEST_LINE = 120

_CODE = re.compile(r"`[^`]*`|<[^>]+>|https?://\S+")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_END = re.compile(r"[.!?](?=\s|$)|\|")
_ABBREVIATION = re.compile(r"\b(e\.g|i\.e|etc|vs|No|cf)\.")
_MESSAGES = frozenset(
    {
        "NightshelfError",
        "TryLater",
        "CheckCrashed",
        "WrongUsage",
        "GateRefused",
        "BrokenInput",
        "NothingToDo",
    }
)


def main() -> None:
    """Print the findings of this checkout and exit with 1 if there are any."""
    given = sys.argv[1:] or ["*.md", "*.py"]
    listed = subprocess.run(
        ["git", "ls-files", "--", *given], capture_output=True, text=True, check=True
    )
    unused = tomllib.loads(Path("docs/words.toml").read_text("utf-8"))["not_used"]
    findings = [
        f"{name}:{line}: {problem}"
        for name in listed.stdout.splitlines()
        for line, problem in check(Path(name), unused)
    ]
    print("\n".join(findings))
    print(f"{len(findings)} findings")
    sys.exit(bool(findings))


def check(path: Path, unused: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Give the line and the text of each finding in a file."""
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        for number, line in enumerate(text.splitlines(), 1):
            if len(line) > LONGEST_LINE and not line.startswith(("|", "    ", "http")):
                yield number, f"a line of {len(line)} characters, {LONGEST_LINE} are allowed"
        paragraphs = markdown(text)
    else:
        paragraphs = messages(text)
    for number, paragraph in paragraphs:
        plain = _LINK.sub(r"\1", _CODE.sub("X", paragraph))
        for pattern, instead in unused.items():
            for found in re.finditer(rf"\b(?:{pattern})\b", plain, re.IGNORECASE):
                yield number, f"{found[0]!r}: write {instead}"
        for sentence in _END.split(_ABBREVIATION.sub(r"\1", plain)):
            if (words := len(sentence.split())) > MOST_WORDS:
                yield number, f"{words} words: {' '.join(sentence.split()[:8])} ..."


def markdown(text: str) -> Iterator[tuple[int, str]]:
    """Give paragraphs, list items, table rows and headings with the line on which each begins."""
    kept: list[str] = []
    begun, fenced = 1, False
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if line.startswith("```"):
            fenced = not fenced
        code = fenced or (line.startswith(("    ", "```")) and not kept)
        opens = re.match(r"\s*([-*|#]|\d+\.)\s?", line)
        if kept and (not line.strip() or opens or code):
            yield begun, " ".join(kept)
            kept = []
        if line.strip() and not code:
            begun = begun if kept else number
            kept.append(line.strip())


def messages(text: str) -> Iterator[tuple[int, str]]:
    """Give the help texts and the error messages of Python code."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            said = [k.value for k in node.keywords if k.arg in {"help", "short_help", "epilog"}]
            for part in [*said, *(node.args if name in _MESSAGES else [])]:
                yield node.lineno, _text(part)
        elif isinstance(node, ast.FunctionDef) and any(map(_is_command, node.decorator_list)):
            yield node.lineno, ast.get_docstring(node) or ""


def _is_command(decorator: ast.expr) -> bool:
    return bool(re.search("'(command|group)'", ast.dump(decorator)))


def _text(node: ast.expr) -> str:
    """Return the literal text of an expression, with X where a value is filled in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            _text(part) if isinstance(part, ast.Constant) else "X" for part in node.values
        )
    if isinstance(node, ast.BinOp):
        return f"{_text(node.left)} {_text(node.right)}"
    return _text(node.body) + ". " + _text(node.orelse) if isinstance(node, ast.IfExp) else ""


if __name__ == "__main__":
    main()
