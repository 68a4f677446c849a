"""The configuration: NGINX and a linter accept it whatever the settings, and no setting can break out of it."""

import dataclasses
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.nginx import configuration, keys
from deploy.nginx.settings import NginxSettings, from_environment
from schemas.environment import EnvironmentProblem
from tests.conftest import free_ports


def _variants(folder: Path) -> dict[str, dict[str, Any]]:
    file = folder / "keys.map"
    keys.add(file, "shop")
    pair = folder / "edge.pem", folder / "edge.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=a", "-keyout", str(pair[1]), "-out", str(pair[0])),
        ],
        check=True,
        capture_output=True,
    )
    everything = {
        "nginx_replicas": "127.0.0.1:8081, unix:/tmp/edge.sock, edge-3.internal:80",
        "nginx_api_keys_file": str(file),
        "nginx_api_keys_required": True,
        "nginx_cors_origins": "https://a.example,https://b.example:8443",
        "nginx_trusted_proxies": "10.0.0.0/8,fd00::/8",
        "nginx_internal_networks": "127.0.0.1,::1,10.0.0.0/8",
        "nginx_tls_certificate": str(pair[0]),
        "nginx_tls_key": str(pair[1]),
        "nginx_public_url": "https://shelf.example.org",
        "nginx_status_listen": f"127.0.0.1:{free_ports(3)[2]}",
    }
    return {
        "defaults": {},
        "no cache": {"nginx_cache": False},
        "any origin": {"nginx_cors_origins": "*"},
        "everything": everything | {"nginx_replicas": "127.0.0.1:8081,unix:/tmp/edge.sock"},
        "firewall": everything | {"nginx_waf_rules": "/usr/share/modsecurity-crs"},
    }


_VARIANTS = ("defaults", "no cache", "any origin", "everything")


@pytest.mark.parametrize("variant", _VARIANTS)
def test_nginx_accepts_it(tmp_path: Path, variant: str) -> None:
    """`nginx -t` finds no error and has no warning."""
    # It also tries the addresses, and makes the folder of the cache: those of the defaults are not this test's.
    plain, secure = free_ports(2)
    settings = replace(
        NginxSettings(**_variants(tmp_path)[variant]),
        nginx_listen=f"127.0.0.1:{plain}",
        nginx_tls_listen=f"127.0.0.1:{secure}",
        nginx_cache_folder=str(tmp_path / "cache"),
    )
    configuration.write(tmp_path / "prefix", settings)
    result = subprocess.run(
        configuration.command(tmp_path / "prefix", "-q", "-t"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def _lint(*paths: Path) -> subprocess.CompletedProcess[str]:
    gixy = str(Path(sys.executable).with_name("gixy"))
    return subprocess.run(
        [gixy, "--format", "json", *map(str, paths)], capture_output=True, text=True, check=False
    )


def test_the_linter_finds_nothing(tmp_path: Path) -> None:
    """Gixy has nothing to say on any variant, at any severity; the firewall's module is not needed for it."""
    variants = _variants(tmp_path)
    found = _lint(
        *(
            configuration.write(tmp_path / str(number), NginxSettings(**variants[variant]))
            for number, variant in enumerate((*_VARIANTS, "firewall"))
        )
    )
    assert (found.returncode, found.stdout.strip()) == (0, "[]"), found.stdout + found.stderr


def test_the_linter_finds_what_is_there(tmp_path: Path) -> None:
    """The same call does complain of a configuration that lets the client choose where it is sent."""
    good = configuration.write(tmp_path / "good", NginxSettings())
    bad = configuration.write(tmp_path / "bad", NginxSettings())
    text = bad.read_text().replace("proxy_pass http://replicas;", "proxy_pass http://$http_host;")
    bad.write_text(text)
    found = _lint(good, bad)
    assert found.returncode != 0
    assert "ssrf" in found.stdout


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nginx_listen", "127.0.0.1:8080; include /etc/passwd"),
        ("nginx_replicas", "127.0.0.1:8081 weight=5"),
        ("nginx_replicas", "unix:/run/a b"),
        ("nginx_replicas", ""),
        ("nginx_cors_origins", 'https://a"; return 200'),
        ("nginx_cors_origins", "https://a/path"),
        ("nginx_internal_networks", "all; allow 0.0.0.0/0"),
        ("nginx_trusted_proxies", "unix:"),
        ("nginx_user", "root; daemon on"),
        ("nginx_workers", "0"),
        ("nginx_cache_folder", "relative/path"),
        ("nginx_api_keys_file", "/srv/a;b"),
        ("nginx_public_url", "https://a/$host"),
        ("nginx_waf_rules", "rules; daemon on"),
        ("nginx_status_listen", "0.0.0.0:8082 ssl"),
        ("nginx_rate_per_s", 0),
        ("nginx_burst", -1),
    ],
)
def test_a_setting_cannot_break_out(field: str, value: Any) -> None:
    """A value that is not of its field's form is refused by its variable's name."""
    with pytest.raises(EnvironmentProblem, match=f"NIGHTSHELF_{field.upper()}"):
        NginxSettings(**{field: value})


def test_settings_that_need_each_other() -> None:
    """A certificate without a key, or required keys without a file, is an error that names what is missing."""
    with pytest.raises(EnvironmentProblem, match="set all three or none"):
        NginxSettings(nginx_tls_certificate="/srv/a.pem")
    with pytest.raises(EnvironmentProblem, match="NIGHTSHELF_NGINX_API_KEYS_FILE"):
        NginxSettings(nginx_api_keys_required=True)


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    """Variables reach the configuration; the command prints how to run it."""
    settings = from_environment(
        {"NIGHTSHELF_NGINX_LISTEN": "127.0.0.1:9999", "NIGHTSHELF_NGINX_RATE_PER_S": "7"}
    )
    text = configuration.configuration(settings, tmp_path)
    assert "listen 127.0.0.1:9999 default_server;" in text
    assert "zone=lists_by_address:10m rate=7r/s;" in text


def test_writing_again_changes_nothing_else(tmp_path: Path) -> None:
    """Twice the same settings, twice the same bytes; logs and page stay."""
    first = configuration.write(tmp_path, NginxSettings()).read_bytes()
    (tmp_path / "logs" / "access.log").write_text("kept")
    assert configuration.write(tmp_path, NginxSettings()).read_bytes() == first
    assert (tmp_path / "logs" / "access.log").read_text() == "kept"


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The module writes a prefix folder and prints the command; a bad setting ends it with a reason."""
    monkeypatch.setenv("NIGHTSHELF_NGINX_LISTEN", "127.0.0.1:9998")
    configuration.main([str(tmp_path)])
    assert "listen 127.0.0.1:9998" in (tmp_path / "nginx.conf").read_text()
    assert capsys.readouterr().out.split() == configuration.command(tmp_path)
    monkeypatch.setenv("NIGHTSHELF_NGINX_LISTEN", "nowhere")
    with pytest.raises(SystemExit, match="NIGHTSHELF_NGINX_LISTEN: 'nowhere' is not host:port"):
        configuration.main([str(tmp_path)])


def test_the_readme_names_every_setting() -> None:
    """A setting that is not in the table of README.md is one that nobody finds."""
    text = Path(configuration.__file__).with_name("README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([A-Z_]+)`", text.partition("## Settings")[2]))
    assert named - {"NIGHTSHELF_NGINX_"} == {
        field.name.removeprefix("nginx_").upper() for field in dataclasses.fields(NginxSettings)
    }
