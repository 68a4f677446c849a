"""Why the store cannot be read, as log lines that a person can act on.

In: nodes and what went wrong there. Out: warnings in the log. Guarantees one at once and then one a minute at most,
and that none holds the password of Redis.
"""

import logging
import time
from ssl import SSLError

from redis.exceptions import AuthenticationError, NoPermissionError
from redis.exceptions import TimeoutError as RedisTimeoutError

_LOG = logging.getLogger(__name__)
_EVERY_S = 60.0
_MOST_NODES, _MOST_CHARACTERS = 3, 200
#: What an error is or says, and what to do about it; the first that fits.
_ADVICE: tuple[tuple[tuple[type[BaseException], ...], tuple[str, ...], str], ...] = (
    (
        (AuthenticationError, NoPermissionError),
        ("NOAUTH", "NOPERM", "WRONGPASS"),
        "Redis refuses this user: check NIGHTSHELF_REDIS_USER and NIGHTSHELF_REDIS_PASSWORD",
    ),
    (
        (),
        ("cluster support disabled", "Cluster mode is not enabled"),
        "this Redis is no cluster: start it with cluster-enabled yes; one node that holds all slots is enough",
    ),
    (
        (SSLError,),
        ("SSL", "certificate"),
        "TLS fails: check NIGHTSHELF_REDIS_TLS (or rediss://) and NIGHTSHELF_REDIS_CA",
    ),
    (
        (ConnectionResetError,),
        ("closed by server", "Connection lost", "reset by peer"),
        "the node ends the connection: check NIGHTSHELF_REDIS_TLS (or rediss://) if it expects TLS",
    ),
)
#: Redis without TLS waits for the end of a line that a handshake does not have.
_SILENT_TO_TLS = (
    "check that the node runs and expects TLS: NIGHTSHELF_REDIS_TLS (or rediss://) is set"
)


class Seldom:
    """Warnings of which each kind is logged at once and then once a minute at most."""

    def __init__(self) -> None:
        """Nothing was logged yet."""
        self._logged_at: dict[str, float] = {}

    def warn(self, message: str, *arguments: object) -> None:
        """Log a message with its arguments unless the same message was logged within the last minute."""
        now = time.monotonic()
        if now - self._logged_at.get(message, -_EVERY_S) >= _EVERY_S:
            self._logged_at[message] = now
            _LOG.warning(message, *arguments)


class Troubles:
    """What went wrong lately, by node."""

    def __init__(self, password: str | None, *, tls: bool) -> None:
        """`password` is what no line may hold; `tls` says whether nodes are spoken to so."""
        self._password = password
        self._tls = tls
        self._noted: dict[str, BaseException] = {}
        self._seldom = Seldom()

    def note(self, node: str, error: BaseException) -> None:
        """Keep what went wrong at a node for the next line."""
        self._noted.pop(node, None)
        self._noted[node] = error

    def forget(self) -> None:
        """Keep nothing of what was noted."""
        self._noted.clear()

    def log(self) -> None:
        """Log what was noted last, if anything, unless that was done within the last minute."""
        if not self._noted:
            return
        latest = list(self._noted.items())[-_MOST_NODES:]
        more = len(self._noted) - len(latest)
        told = "; ".join(f"{node}: {self._text(error)}" for node, error in latest)
        told += f"; and {more} more" if more else ""
        self._seldom.warn("look-ups fail: %s; %s", told, self._advice(latest[-1][1]))
        self.forget()

    def _advice(self, error: BaseException) -> str:
        causes = _chain(error)
        text = " ".join(map(str, causes))
        if self._tls and isinstance(error, (TimeoutError, RedisTimeoutError)):
            return _SILENT_TO_TLS
        for kinds, signs, advice in _ADVICE:
            if any(sign in text for sign in signs) or any(isinstance(one, kinds) for one in causes):
                return advice
        return "check NIGHTSHELF_REDIS and that the cluster runs"

    def _text(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError):
            return "no answer"
        text = next((str(one) for one in _chain(error) if str(one)), type(error).__name__)
        if self._password:
            text = text.replace(self._password, "***")
        return " ".join(text.split())[:_MOST_CHARACTERS]


def _chain(error: BaseException | None) -> list[BaseException]:
    """Return an error and what it came from, the innermost first."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found[::-1]
