"""What a client of the edge sent and received, on the one clock of the machine.

In: nothing. Out: `Exchange`. Times are seconds of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer.

    `due_at` is when the fixed rate wanted it sent: latency counts from there, so that a stalled client hides nothing.
    `status` is 0 where no answer came; `told` then says why. Header names are in lower case.
    """

    client: int
    users: tuple[int, ...]
    limit: int
    batch: bool
    if_none_match: str
    due_at: float
    done_at: float
    status: int
    headers: dict[str, str]
    body: bytes
    text: str = ""

    @property
    def latency_s(self) -> float:
        """Seconds from when it was due until the answer was there."""
        return self.done_at - self.due_at

    @property
    def path(self) -> str:
        """The path and query that were asked for."""
        if self.batch:
            users = "&".join(f"user_id={user}" for user in self.users)
            return f"/v1/recommendations?{users}&limit={self.limit}"
        return f"/v1/users/{self.users[0]}/recommendations?limit={self.limit}"
