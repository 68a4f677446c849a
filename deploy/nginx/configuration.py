"""The configuration of NGINX, filled in from settings.

In: `NginxSettings`, from Python or, by `python -m deploy.nginx.configuration FOLDER`, from the environment. Out: a
prefix folder with `nginx.conf`, what it includes and the page for people. Guarantees that writing it
again changes only what the settings changed, and that NGINX takes it up by a reload.
"""

import getpass
import hashlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

import jinja2

from deploy.nginx.settings import NginxSettings, from_environment, listed
from schemas.environment import EnvironmentProblem

CONFIGURATION = "nginx.conf"

_TEMPLATES = Path(__file__).with_name("templates")
_PAGE = Path(__file__).parents[1] / "page"
#: The page's files: nothing else on disk is ever served.
_NJS = "ngx_http_js_module.so"
_SCRIPTS = ("api_keys.js", "if_none_match.js")
PAGE_FILES = ("index.html", "shelf.css", "shelf.js", "api.js", "favicon.svg")
_MEMORY = Path("/dev/shm")  # noqa: S108  # the one tmpfs that every Linux has; the folder in it is made by NGINX
#: What NGINX itself answers when it answers with an error: status -> (title, detail).
PROBLEMS = {
    400: ("Bad Request", "the request is not well-formed HTTP"),
    401: (
        "Unauthorized",
        "a valid API key is needed: X-Api-Key: KEY, or Authorization: Bearer KEY",
    ),
    403: ("Forbidden", "this path is open to internal addresses only"),
    404: ("Not Found", "nothing is at this path; see /openapi.json"),
    405: ("Method Not Allowed", "only GET and HEAD are answered here"),
    412: ("Precondition Failed", "what If-Match or If-Unmodified-Since asks for does not hold"),
    413: ("Content Too Large", "a request here has no body; one of up to 1024 bytes is ignored"),
    414: ("URI Too Long", "the address is longer than 4096 bytes"),
    429: ("Too Many Requests", "too many requests from this client; wait a second"),
    431: (
        "Request Header Fields Too Large",
        "a header is longer than 4096 bytes, or all are than 16384",
    ),
    503: ("Service Unavailable", "no replica answers at the moment; try again in a second"),
}
#: NGINX's own statuses that are answered as one of these: a header that is too large is 494 inside NGINX; an HTTP
#: version or a transfer coding that nobody has (505, 501) is the client's mistake, and so is plain HTTP where TLS is
#: spoken (497).
_SAME_AS = {400: "497 501 505 =400", 431: "494 =431", 503: "500 502 504 =503"}


class NginxMissing(RuntimeError):
    """There is no NGINX on this machine."""


def configuration(settings: NginxSettings, folder: Path) -> str:
    """Return the text of `nginx.conf` for a prefix folder."""
    return _render("nginx.conf.j2", settings, folder)


def write(folder: Path, settings: NginxSettings) -> Path:
    """Write everything NGINX needs below `folder` (created) and return the path of `nginx.conf`."""
    folder = folder.resolve()
    for name in ("logs", "temp", "page"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in PAGE_FILES:
        shutil.copyfile(_PAGE / name, folder / "page" / name)
    for name in _SCRIPTS:
        shutil.copyfile(_TEMPLATES / name, folder / name)
    if settings.tls:
        _replace(folder / "tls.conf", _render("tls.conf.j2", settings, folder))
    if settings.nginx_waf_rules:
        _replace(folder / "waf.conf", _render("waf.conf.j2", settings, folder))
    _replace(folder / "headers.conf", _render("headers.conf.j2", settings, folder))
    _replace(folder / CONFIGURATION, configuration(settings, folder))
    return folder / CONFIGURATION


def cache_folder(settings: NginxSettings, folder: Path) -> Path:
    """Return where answers are cached; in memory, since on disk the tails were hundreds of milliseconds."""
    if settings.nginx_cache_folder:
        return Path(settings.nginx_cache_folder)
    if not _MEMORY.is_dir():
        return folder / "cache"
    return _MEMORY / f"nightshelf-cache-{_digest(str(folder.resolve()))}"


def program() -> str:
    """Return the path of `nginx`. Raises NginxMissing."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise NginxMissing("no nginx on this machine: apt-get install nginx-light")
    return found


def command(folder: Path, *options: str) -> list[str]:
    """Return the command line that runs NGINX in the foreground; `-t` checks, `-s reload` reloads."""
    folder = folder.resolve()
    return [
        program(), "-e", "stderr", "-p", f"{folder}/", "-c", str(folder / CONFIGURATION), *options,
    ]  # fmt: skip


def reload(folder: Path) -> None:
    """Check the configuration and make the running NGINX take it up; requests in hand are finished.

    Raises subprocess.CalledProcessError, with the running NGINX left as it was.
    """
    subprocess.run(command(folder, "-q", "-t"), check=True)
    subprocess.run(command(folder, "-s", "reload"), check=True)


def problem_body(status: int) -> str:
    """Return the RFC 9457 body of an error that NGINX itself answers."""
    title, detail = PROBLEMS[status]
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return json.dumps(content, separators=(",", ":"))


def _described(status: int, settings: NginxSettings) -> str:
    """Return the body of an error; with a firewall, a bad request may be one that it refuses."""
    body = problem_body(status)
    if status == HTTPStatus.BAD_REQUEST and settings.nginx_waf_rules:
        return body.replace("well-formed HTTP", "well-formed HTTP or looks like an attack")
    return body


def _render(template: str, settings: NginxSettings, folder: Path) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  # no HTML; values are matched against patterns in settings.py
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(
        s=settings,
        listed=listed,
        user=settings.nginx_user or getpass.getuser(),
        cache_folder=cache_folder(settings, folder),
        folder=folder.resolve(),
        place=_digest(f"{socket.gethostname()} {folder.resolve()}"),
        problems={status: _described(status, settings) for status in PROBLEMS},
        same_as=_SAME_AS,
        # Keys cannot do without the module: where it is missing, NGINX says so.
        njs=bool(settings.nginx_api_keys_file) or (Path(settings.nginx_modules) / _NJS).is_file(),
        njs_module=_NJS,
        page_files=PAGE_FILES[1:],
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _replace(target: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile(
        "w", dir=target.parent, prefix=f".{target.name}.", delete=False, encoding="utf-8"
    ) as temporary:
        temporary.write(text)
    Path(temporary.name).replace(target)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the configuration for the settings of the environment and print the command that runs it."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if len(given) != 1:
        sys.exit("usage: python -m deploy.nginx.configuration FOLDER")
    try:
        write(Path(given[0]), from_environment())
        print(" ".join(command(Path(given[0]))))
    except (EnvironmentProblem, NginxMissing) as problem:
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    main()
