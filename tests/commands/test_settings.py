"""The list of settings in the docs, and what a production environment looks like."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


def _variables_read(project_folder: Path) -> dict[str, str | None]:
    """Return the variables that settings.py reads with their defaults as a person writes them."""
    tree = ast.parse((project_folder / "emailsync/settings.py").read_text())
    found: dict[str, str | None] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="env")), args=[ast.Constant(value=str(name))]):
                default = next(word.value for word in node.keywords if word.arg == "default")
                found[name] = _as_written(default)
    return found


def _as_written(default: ast.expr) -> str | None:
    try:
        value = eval(compile(ast.Expression(default), "default", "eval"), {"__builtins__": {}})
    except NameError:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(value) or "empty"
    return str(value) or "empty"


def _variables_documented(project_folder: Path) -> dict[str, str]:
    text = (project_folder / "docs/settings.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]*) \|", text, flags=re.MULTILINE)
    return {name: default.strip().strip("`") for name, default in rows}


def test_every_variable_is_documented_once_and_none_is_invented(project_folder: Path) -> None:
    """The page and the code name the same variables."""
    assert sorted(_variables_documented(project_folder)) == sorted(_variables_read(project_folder))


def test_the_documented_defaults_are_the_true_ones(project_folder: Path) -> None:
    """Defaults that do not depend on the machine are repeated exactly."""
    read = {name: value for name, value in _variables_read(project_folder).items() if value is not None}
    documented = _variables_documented(project_folder)

    assert {name: documented[name] for name in read} == read


PRODUCTION = {
    "DATABASE_URL": "postgres://emailsync:x@127.0.0.1:1/emailsync",
    "EMAILSYNC_BROKER_URL": "redis://127.0.0.1:1/0",
    "EMAILSYNC_SECRET_KEY": "Xq7bP2mZ9vK4tR8wY1nC6sD3fG5hJ0aL_uE-oIkMxNzQyBvTr-and-more",
    "EMAILSYNC_ENCRYPTION_KEYS": "first:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "EMAILSYNC_ALLOWED_HOSTS": "mail-admin.example.org",
    "EMAILSYNC_CSRF_TRUSTED_ORIGINS": "https://mail-admin.example.org",
    "EMAILSYNC_HTTPS_ONLY": "true",
    "EMAILSYNC_TRUST_PROXY_HEADERS": "true",
}


def _check_deploy(folder: Path, project_folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "EMAILSYNC_DATA_DIR": str(folder), **PRODUCTION, **changes}
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=project_folder,
        env={name: value for name, value in environment.items() if value},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_production_environment_passes_the_deployment_check(tmp_path: Path, project_folder: Path) -> None:
    """The environment of the docs leaves nothing to say."""
    done = _check_deploy(tmp_path, project_folder)

    assert (done.returncode, done.stderr) == (0, "")


CARELESS = {
    "EMAILSYNC_ENCRYPTION_KEYS": "",
    "EMAILSYNC_ALLOWED_PORTS": ",",
    "EMAILSYNC_SECRET_KEY": "",
    "EMAILSYNC_DEBUG": "true",
    "EMAILSYNC_HTTPS_ONLY": "",
    "EMAILSYNC_ALLOW_NON_SSL_EMAIL": "true",
    "DATABASE_URL": "",
    "EMAILSYNC_BROKER_URL": "",
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory, project_folder: Path) -> dict[str, str]:
    """Give what the deployment check says of an environment without any care, by id."""
    done = _check_deploy(tmp_path_factory.mktemp("careless"), project_folder, **CARELESS)
    assert done.returncode == 1
    return dict(re.findall(r"\((\w+\.\w+)\) (.*(?:\n\tHINT: .*)?)", done.stderr))


@pytest.mark.parametrize(
    ("check", "variable"),
    [*zip(["E001", "E004", "E005", "W001", "W002", "W003", "W004", "W005"], CARELESS, strict=True)],
)
def test_what_is_missing_or_unsafe_is_named_with_its_id_and_variable(
    complaints: dict[str, str], check: str, variable: str
) -> None:
    """Each unsafe setting has a check of its own, which says where to mend it."""
    assert variable in complaints[f"emailsync.{check}"]
