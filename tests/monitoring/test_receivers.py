"""Alertmanager with the project's own receivers: Slack, e-mail and webhooks, each delivered for real on loopback.

Addresses and waiting times are replaced, nothing else: routes, texts and secrets from files are alertmanager.yaml's.
"""

import email
import email.message
import email.policy
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from deploy.local import monitors
from deploy.local.monitors import MonitoringSettings
from tests.conftest import free_ports
from tests.monitoring import rules
from tests.monitoring.asking import answers, get, until
from tests.monitoring.receiver import HOST
from tests.monitoring.rules import MONITORING

_SECRETS = {
    "slack_url": "/services/a/secret/path",
    "smtp_password": "a-mail-password",
    "webhook_token": "a-webhook-token",
    "dead_mans_switch_token": "another-token",
}

#: What nothing is known of while the exporter of a job is gone.
_SILENT = {
    "node": "HostMetricsAbsent",
    "redis": "RedisMetricsAbsent",
    "batch": "BatchMetricsAbsent",
    "statsd": "AirflowSilent",
}


@dataclass
class Posts:
    """A web server that keeps what is posted: path, authorization, content."""

    received: list[tuple[str, str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Listen at once."""
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                received.append((self.path, self.headers.get("Authorization", ""), content))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def at(self) -> str:
        """Host and port."""
        return f"{HOST}:{self.server.server_port}"

    def to(self, path: str) -> list[tuple[str, Any]]:
        """Return what was posted to a path: authorization and content."""
        return [(key, content) for where, key, content in self.received if where == path]


@dataclass
class Mails:
    """Keeps mails, and what was given as a login."""

    received: list[email.message.EmailMessage] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's
        """Take a mail."""
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, email.message.EmailMessage)
        self.received.append(mail)
        return "250 taken"

    def login(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any
    ) -> AuthResult:
        """Let in whoever has the password."""
        assert isinstance(given, LoginPassword)
        self.logins.append((given.login, given.password))
        return AuthResult(success=given.password.decode() == _SECRETS["smtp_password"])


@dataclass
class Told:
    """A running Alertmanager and who is told."""

    url: str
    posts: Posts
    mails: Mails

    def alert(self, *alerts: dict[str, str], ends_at: str | None = None) -> None:
        """Let alerts fire, or end, with the annotations of the rule of their name."""
        annotations = {rule.name: rule.annotations for rule in rules.alerts()}
        end = {} if ends_at is None else {"endsAt": ends_at}
        content = [
            {"labels": labels, "annotations": annotations[labels["alertname"]], **end}
            for labels in alerts
        ]
        request = urllib.request.Request(  # noqa: S310  # loopback
            f"{self.url}/api/v2/alerts",
            data=json.dumps(content).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310  # loopback
            pass

    def firing(self) -> list[dict[str, Any]]:
        """Return every alert that has not ended, silenced ones among them."""
        found: list[dict[str, Any]] = json.loads(get(f"{self.url}/api/v2/alerts"))
        return found

    def end(self) -> None:
        """Let every alert end, and wait until none fires."""
        ended = datetime.now(UTC).isoformat()
        self.alert(*(one["labels"] for one in self.firing()), ends_at=ended)
        until(lambda: not self.firing(), "every alert has ended")

    def suppressed(self) -> set[str]:
        """Return the names of alerts that another one silences."""
        return {one["labels"]["alertname"] for one in self.firing() if one["status"]["inhibitedBy"]}


def _configuration(posts: Posts, mail_port: int, secrets: Path) -> str:
    text = (MONITORING / "alertmanager.yaml").read_text(encoding="utf-8")
    for given, here in {
        "/etc/alertmanager/secrets": str(secrets),
        "localhost:25": f"{HOST}:{mail_port}",
        "127.0.0.1:9094": posts.at,
        "127.0.0.1:9095": posts.at,
        "templates/*.tmpl": str(MONITORING / "templates" / "*.tmpl"),
    }.items():
        assert given in text, given
        text = text.replace(given, here)
    return re.sub(r"group_wait: \d+s", "group_wait: 1s", text)


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Alertmanager, a Slack and two webhooks that are one web server, a mail server that checks a login."""
    folder = tmp_path_factory.mktemp("alertmanager")
    posts, mails = Posts(), Mails()
    mail_port, port = free_ports(2)
    controller = Controller(
        mails,
        HOST,
        mail_port,
        authenticator=mails.login,
        auth_require_tls=False,
        # Its way of asking by LOGIN is one that Alertmanager does not know.
        auth_exclude_mechanism=["LOGIN"],
    )
    for name, secret in _SECRETS.items():
        value = f"http://{posts.at}{secret}" if name == "slack_url" else secret
        (folder / name).write_text(value, encoding="utf-8")
    (folder / "alertmanager.yaml").write_text(
        _configuration(posts, mail_port, folder), encoding="utf-8"
    )
    settings = MonitoringSettings(local_alertmanager_port=port)
    command = monitors.servers(settings, folder)["alertmanager"]
    url = f"http://{settings.address('alertmanager')}"
    controller.start()
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        until(lambda: answers(f"{url}/-/ready"), "Alertmanager is ready")
        yield Told(url, posts, mails)
        process.terminate()
    controller.stop()
    posts.server.shutdown()
    posts.server.server_close()


@pytest.fixture
def told(alertmanager: Told) -> Iterator[Told]:
    """The same with nothing firing: what one test has let fire silences nothing in the next."""
    yield alertmanager
    alertmanager.end()


def test_a_critical_alert_reaches_slack_mail_and_webhook(told: Told) -> None:
    """Each with the secret of its file, and with what is wrong, its runbook section and its dashboard."""
    told.alert({"alertname": "NoRelease", "severity": "critical", "job": "edge"})
    slack = _SECRETS["slack_url"]
    until(lambda: told.posts.to(slack) and told.posts.to("/alerts"), "Slack and webhook are told")
    until(lambda: told.mails.received, "the mail is there")

    ((_, message),) = told.posts.to(slack)
    assert message["channel"] == "#nightshelf"
    (attachment,) = message["attachments"]
    assert attachment["title"] == "[firing 1] critical: NoRelease"
    _assert_useful(attachment["text"])

    ((key, content),) = told.posts.to("/alerts")
    assert key == f"Bearer {_SECRETS['webhook_token']}"
    assert [one["labels"]["alertname"] for one in content["alerts"]] == ["NoRelease"]

    (mail,) = told.mails.received
    assert told.mails.logins == [(b"nightshelf", _SECRETS["smtp_password"].encode())]
    assert mail["Subject"] == "[firing 1] critical: NoRelease"
    assert mail["To"] == "on-call@localhost"
    part = mail.get_body(("plain",))
    assert part is not None
    _assert_useful(part.get_content())


def _assert_useful(text: str) -> None:
    assert "No release is live" in text
    assert "http://127.0.0.1:3001/monitoring/runbook.md#norelease" in text
    assert "http://127.0.0.1:3000/d/nightshelf-service" in text


def test_a_warning_wakes_nobody(told: Told) -> None:
    """It is told in Slack, and neither by mail nor by the webhook."""
    told.alert({"alertname": "RejectsRising", "severity": "warning", "job": "batch"})
    until(lambda: "RejectsRising" in str(told.posts.to(_SECRETS["slack_url"])), "Slack is told")
    assert "RejectsRising" not in str(told.posts.to("/alerts"))
    assert not any("RejectsRising" in str(mail["Subject"]) for mail in told.mails.received)


def test_the_dead_mans_switch_goes_outside(told: Told) -> None:
    """To its own address, with its own token."""
    told.alert({"alertname": "DeadMansSwitch", "severity": "none"})
    until(lambda: told.posts.to("/alive"), "it is received")
    assert told.posts.to("/alive")[0][0] == f"Bearer {_SECRETS['dead_mans_switch_token']}"


@pytest.mark.parametrize(
    ("source", "symptoms", "others"),
    [
        pytest.param(
            {"alertname": "RedisSlotsUncovered", "severity": "critical"},
            [
                *("RedisNodeDown", "RedisFailedOver", "RedisReplicaBehind", "PointerOld"),
                *("FallbackShareHigh", "MissRateHigh", "PersonalShareBurnFast", "LatencyBurnSlow"),
                *("ResponseTimeHigh", "PublishFailed"),
            ],
            ["ModelStale", "TargetDown", "RedisEvictions"],
            id="a part of the cluster is gone",
        ),
        pytest.param(
            {"alertname": "RedisNodeDown", "severity": "warning"},
            ["RedisFailedOver", "RedisReplicaBehind"],
            ["RedisEvictions", "FallbackShareHigh", "PublishFailed", "PointerOld"],
            id="a Redis node is lost",
        ),
        pytest.param(
            {"alertname": "EdgeDown", "severity": "critical"},
            ["ModelAgeUnknown", "ErrorRateHigh", "AvailabilityBurnFast", "AvailabilityBurnSlow"],
            ["RedisMemoryHigh", "TrainingFailed"],
            id="no replica answers",
        ),
        pytest.param(
            {"alertname": "ModelStale", "severity": "critical"},
            ["TrainingOverdue", "PublishOverdue"],
            ["TrainingFailed"],
            id="the model is stale",
        ),
        *(
            pytest.param(
                {"alertname": "TargetDown", "severity": "warning", "job": job},
                [symptom],
                sorted(set(_SILENT.values()) - {symptom}),
                id=f"the exporter of {job} is gone",
            )
            for job, symptom in _SILENT.items()
        ),
    ],
)
def test_a_cause_silences_its_symptoms_and_nothing_else(
    told: Told, source: dict[str, str], symptoms: Sequence[str], others: Sequence[str]
) -> None:
    """Both fire at the same time; what follows from the cause is inhibited, what does not is not."""
    assert not told.firing()
    told.alert(
        source, *({"alertname": name, "severity": "warning"} for name in (*symptoms, *others))
    )
    until(lambda: told.suppressed() >= set(symptoms), "symptoms are silenced")
    assert told.suppressed() == set(symptoms)


def test_critical_hides_the_same_alert_as_a_warning(told: Told) -> None:
    """Of one disk that is 96 % full one message is sent, of another disk its own."""
    disk = {"alertname": "HostDiskFull", "instance": "a", "mountpoint": "/"}
    told.alert(
        {**disk, "severity": "warning"},
        {**disk, "severity": "critical"},
        {**disk, "severity": "warning", "mountpoint": "/data"},
    )
    until(lambda: "HostDiskFull" in told.suppressed(), "the warning is silenced")
    hidden = [
        (one["labels"]["severity"], one["labels"]["mountpoint"])
        for one in told.firing()
        if one["labels"]["alertname"] == "HostDiskFull" and one["status"]["inhibitedBy"]
    ]
    assert hidden == [("warning", "/")]
