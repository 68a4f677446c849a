"""Settings of NGINX, read from the environment here and nowhere else.

In: variables with the prefix `NIGHTSHELF_NGINX_`. Out: one frozen `NginxSettings`. Guarantees that nothing gets into
the configuration that was not matched against a narrow pattern first: a value with a blank, a brace or a
semicolon is refused by its variable's name.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.environment import PREFIX, EnvironmentProblem, read

_TCP = r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}"
_FILE = r"/[A-Za-z0-9._/@+-]+"
_ADDRESS = re.compile(rf"{_TCP}|unix:{_FILE}")
_LISTEN = re.compile(_TCP)
_NETWORK = re.compile(r"[0-9.]+(?:/[0-9]{1,2})?|[0-9a-fA-F:]+(?:/[0-9]{1,3})?")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?")
_PATH = re.compile(_FILE)
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_WORKERS = re.compile(r"auto|[1-9][0-9]{0,2}")


@dataclass(frozen=True)
class NginxSettings:
    """A variable is the field's name in capitals, prefixed; lists are comma-separated. See README.md."""

    nginx_listen: str = "127.0.0.1:8080"
    nginx_replicas: str = "127.0.0.1:8081"
    nginx_workers: str = "auto"
    #: As whom workers run when NGINX is started by root; empty is whoever writes the configuration.
    nginx_user: str = ""
    #: Requests per second and client (an address), and how many more may come at once.
    nginx_rate_per_s: int = 10
    nginx_burst: int = 20
    #: The same for a valid API key, which is then counted instead of the address.
    nginx_key_rate_per_s: int = 100
    nginx_key_burst: int = 200
    #: A list of ten is shown with ten cards: cards are counted apart, this many times as many.
    nginx_cards_per_list: int = 10
    nginx_connections_per_client: int = 64
    #: A replica answers within its look-up deadline of 50 ms; six times that is broken, not slow.
    nginx_read_timeout_ms: int = 300
    nginx_cache: bool = True
    #: Empty is a folder of this configuration's own in memory (/dev/shm).
    nginx_cache_folder: str = ""
    nginx_cache_mb: int = 128
    #: Origins whose pages may read answers, `*` for all; empty is none.
    nginx_cors_origins: str = ""
    #: A file that `python -m deploy.nginx.keys` keeps; empty is no API keys.
    nginx_api_keys_file: str = ""
    nginx_api_keys_required: bool = False
    nginx_modules: str = "/usr/lib/nginx/modules"
    nginx_internal_networks: str = "127.0.0.1,::1"
    #: Proxies in front whose X-Forwarded-For is believed.
    nginx_trusted_proxies: str = ""
    nginx_tls_certificate: str = ""
    nginx_tls_key: str = ""
    nginx_tls_listen: str = "127.0.0.1:8443"
    #: With TLS: where plain HTTP is sent to, https://name[:port].
    nginx_public_url: str = ""
    #: Empty is `logs/access.log` in the prefix.
    nginx_access_log: str = ""
    #: Where `/nginx-status` is answered to private addresses, for an exporter in a closed network; empty is nowhere.
    nginx_status_listen: str = ""
    #: Where `exporter.py` answers scrapes; NGINX sends it a line for each answer of its own. Empty is nowhere.
    nginx_metrics_listen: str = ""
    #: A folder with the OWASP core rule set (`rules/*.conf`); empty is no ModSecurity.
    nginx_waf_rules: str = ""

    def __post_init__(self) -> None:
        """Raise EnvironmentProblem for a value that does not have its field's form."""
        lists = {
            "nginx_replicas": (_ADDRESS, "host:port or unix:/path"),
            "nginx_internal_networks": (_NETWORK, "an address or a network"),
            "nginx_trusted_proxies": (_NETWORK, "an address or a network"),
            "nginx_cors_origins": (re.compile(rf"\*|{_ORIGIN.pattern}"), "https://name or *"),
        }
        for field, (pattern, form) in lists.items():
            for part in listed(getattr(self, field)):
                _require(field, part, pattern, form)
        scalars = {
            "nginx_listen": (_LISTEN, "host:port"),
            "nginx_tls_listen": (_LISTEN, "host:port"),
            "nginx_status_listen": (_LISTEN, "host:port"),
            "nginx_metrics_listen": (_LISTEN, "host:port"),
            "nginx_workers": (_WORKERS, "a number or auto"),
            "nginx_user": (_NAME, "a user's name"),
            "nginx_public_url": (_ORIGIN, "https://name[:port]"),
            **{f"nginx_{name}": (_PATH, "an absolute path") for name in (
                "cache_folder", "api_keys_file", "modules", "tls_certificate", "tls_key", "access_log",
                "waf_rules",
            )},
        }  # fmt: skip
        for field, (pattern, form) in scalars.items():
            if getattr(self, field):
                _require(field, getattr(self, field), pattern, form)
        self._require_whole()

    def _require_whole(self) -> None:
        for field in ("rate_per_s", "burst", "key_rate_per_s", "key_burst", "cards_per_list",
                      "connections_per_client", "read_timeout_ms", "cache_mb"):  # fmt: skip
            if getattr(self, f"nginx_{field}") < 1:
                raise EnvironmentProblem(f"{PREFIX}NGINX_{field.upper()} must be at least 1")
        if not listed(self.nginx_replicas):
            raise EnvironmentProblem(f"{PREFIX}NGINX_REPLICAS names no replica")
        tls = (self.nginx_tls_certificate, self.nginx_tls_key, self.nginx_public_url)
        if any(tls) and not all(tls):
            raise EnvironmentProblem(
                f"{PREFIX}NGINX_TLS_CERTIFICATE, {PREFIX}NGINX_TLS_KEY and {PREFIX}NGINX_PUBLIC_URL "
                "go together: set all three or none"
            )
        if self.nginx_api_keys_required and not self.nginx_api_keys_file:
            raise EnvironmentProblem(
                f"{PREFIX}NGINX_API_KEYS_REQUIRED is set without {PREFIX}NGINX_API_KEYS_FILE"
            )

    @property
    def tls(self) -> bool:
        """Whether answers go over TLS."""
        return bool(self.nginx_tls_certificate)


def listed(text: str) -> list[str]:
    """Return the parts of a comma-separated list."""
    return [part.strip() for part in text.split(",") if part.strip()]


def from_environment(environ: Mapping[str, str] | None = None) -> NginxSettings:
    """Return the settings. Raises schemas.environment.EnvironmentProblem when a variable cannot be used."""
    return read(NginxSettings, os.environ if environ is None else environ)


def _require(field: str, text: str, pattern: re.Pattern[str], form: str) -> None:
    if not pattern.fullmatch(text):
        raise EnvironmentProblem(f"{PREFIX}{field.upper()}: {text!r} is not {form}")
