"""`tests/tools/build.sh`, with a Go that only pretends to build."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
SHELL_TOOLS = [
    "awk",
    "cat",
    "chmod",
    "cmp",
    "cp",
    "date",
    "dirname",
    "env",
    "grep",
    "head",
    "ls",
    "mkdir",
    "mv",
    "rm",
    "sed",
    "sh",
    "sleep",
    "tail",
]

FAKE_PROMETHEUS = "#!/bin/sh\necho prometheus, version 2.42.0\n"
# The system's packages, which give programs that only say who they are.
FAKE_APT_GET = """#!/bin/sh
echo "$@" >>"$CALLS"
[ "$1" != download ] || : >"$2_2.42.0_amd64.deb"
"""
FAKE_APT_CACHE = """#!/bin/sh
[ -z "${NO_PACKAGES:-}" ]
"""
FAKE_DPKG = """#!/bin/sh
mkdir -p "$3/usr/bin"
for program in prometheus promtool; do
    printf '#!/bin/sh\\necho prometheus, version 2.42.0\\n' >"$3/usr/bin/$program"
    chmod +x "$3/usr/bin/$program"
done
"""
FAKE_ID = """#!/bin/sh
echo "${FAKE_UID:-1000}"
"""

FAKE_GO = """#!/bin/sh
echo "$@" >>"$CALLS"
case $1 in
build)
    [ -z "${BROKEN:-}" ] || { echo "undefined: everything"; exit 1; }
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\necho Kubernetes v0\\n' >"$2"
    chmod +x "$2" ;;
mod)
    printf '{\\n\\t"Dir": "%s"\\n}\\n' "$MODULE" ;;
esac
"""


class Build:
    """A copy of the tools with nothing built, and the programs on its PATH."""

    def __init__(self, directory: Path) -> None:
        self.tools = directory / "tools"
        shutil.copytree(TOOLS, self.tools, ignore=shutil.ignore_patterns("bin"))
        self.bin = self.tools / "bin"
        self.calls = directory / "calls"
        self.calls.touch()
        self.path = directory / "path"
        self.path.mkdir()
        for name in SHELL_TOOLS:
            (self.path / name).symlink_to(shutil.which(name) or name)
        self.module = directory / "module"
        for line in (TOOLS / "crds" / "go.mod").read_text().splitlines():
            for crds in line.partition(" // ")[2].split() if line.startswith("\t") else ():
                (self.module / crds).mkdir(parents=True, exist_ok=True)
                (self.module / crds / "some.yaml").write_text("kind: CustomResourceDefinition\n")
        (self.module / "config/crd/full/models.yaml").write_text("kind: CustomResourceDefinition\n")
        (self.module / "config/crd/full/kustomization.yaml").write_text("kind: Kustomization\n")
        (self.module / "config/crd/full/llmisvc/llms.yaml").write_text("kind: CustomResourceDefinition\n")
        self.venv = directory / "venv"
        self.program(self.venv / "bin" / "etcd", "#!/bin/sh\necho etcd Version: 3.5.1\n")
        for name in ("prometheus", "promtool"):
            self.program(self.path / name, FAKE_PROMETHEUS)

    def program(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def run(self, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.tools / "build.sh"],
            env={
                "PATH": str(self.path),
                "VENV": str(self.venv),
                "CALLS": str(self.calls),
                "MODULE": str(self.module),
                **environ,
            },
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path)


@pytest.fixture
def with_go(build: Build) -> Build:
    build.program(build.path / "go", FAKE_GO)
    return build


def test_it_builds_the_api_server_with_its_version_and_fetches_the_crds(with_go: Build) -> None:
    done = with_go.run()
    assert done.returncode == 0, done.stderr
    assert "building kube-apiserver v1." in done.stdout
    assert "-X k8s.io/component-base/version.gitVersion=v1." in with_go.calls.read_text()
    assert (with_go.bin / "kube-apiserver").exists()
    for program in ("envoy-gateway", "ratelimit", "authorino", "kuadrant-operator", "telemetry-policy"):
        assert (with_go.bin / program).exists()
    fetched = {file.name for file in (with_go.bin / "crds").rglob("*.yaml")}
    written_here = {file.name for file in (TOOLS / "crds").glob("*.yaml")}
    assert fetched == {"llms.yaml", "models.yaml", "some.yaml", *written_here}


def test_what_is_up_to_date_is_not_built_again(with_go: Build) -> None:
    with_go.run()
    with_go.calls.write_text("")
    done = with_go.run()
    assert done.returncode == 0, done.stderr
    assert "building" not in done.stdout
    assert with_go.calls.read_text() == ""


@pytest.mark.parametrize(
    "changed",
    [
        "kube-apiserver/go.sum",
        "envoy-gateway/go.mod",
        "authorino/go.sum",
        "kuadrant-operator/go.mod",
        "crds/go.mod",
    ],
)
def test_a_changed_pin_is_built_anew(with_go: Build, changed: str) -> None:
    with_go.run()
    with_go.calls.write_text("")
    with (with_go.tools / changed).open("a") as pins:
        pins.write("// another\n")
    done = with_go.run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("] building") + done.stdout.count("] fetching") == 1
    assert with_go.calls.read_text() != ""


def test_a_failed_build_shows_its_log_and_leaves_nothing(with_go: Build) -> None:
    done = with_go.run(BROKEN="yes")
    assert done.returncode == 1
    assert "undefined: everything" in done.stderr
    assert list(with_go.bin.iterdir()) == []


def test_without_go_it_says_what_to_install(build: Build) -> None:
    done = build.run()
    assert done.returncode == 1
    assert "Install Go" in done.stderr


def test_the_programs_of_kubebuilder_assets_are_used(with_go: Build, tmp_path: Path) -> None:
    assets = tmp_path / "assets"
    for name in ("etcd", "kube-apiserver"):
        with_go.program(assets / name, f"#!/bin/sh\necho {name} of the assets\n")
    done = with_go.run(KUBEBUILDER_ASSETS=str(assets))
    assert done.returncode == 0, done.stderr
    assert "using etcd of the assets from KUBEBUILDER_ASSETS" in done.stdout
    assert "using kube-apiserver of the assets from KUBEBUILDER_ASSETS" in done.stdout
    assert "kubernetes/cmd/kube-apiserver" not in with_go.calls.read_text()


def test_a_missing_etcd_is_named(build: Build) -> None:
    (build.venv / "bin" / "etcd").unlink()
    done = build.run()
    assert done.returncode == 1
    assert "KUBEBUILDER_ASSETS" in done.stderr


def test_a_module_without_its_crds_is_named(with_go: Build) -> None:
    for file in with_go.module.rglob("*.yaml"):
        file.unlink()
    done = with_go.run()
    assert done.returncode == 1
    assert " has no CRD files in: " in done.stderr


@pytest.fixture
def with_packages(with_go: Build) -> Build:
    """No Prometheus, but the programs that fetch it."""
    for name in ("prometheus", "promtool"):
        (with_go.path / name).unlink()
    fakes = {"apt-get": FAKE_APT_GET, "apt-cache": FAKE_APT_CACHE, "dpkg": FAKE_DPKG, "id": FAKE_ID}
    for name, text in fakes.items():
        with_go.program(with_go.path / name, text)
    return with_go


def test_a_prometheus_in_path_is_used(with_go: Build) -> None:
    done = with_go.run()
    assert "using prometheus, version 2.42.0 from PATH" in done.stdout
    assert not (with_go.bin / "prometheus").exists()


def test_prometheus_is_fetched_from_the_packages_once_and_by_anybody(with_packages: Build) -> None:
    done = with_packages.run()
    assert done.returncode == 0, done.stderr
    assert (with_packages.bin / "prometheus").exists()
    assert (with_packages.bin / "promtool").exists()
    assert "download prometheus\n" in with_packages.calls.read_text()
    assert "update" not in with_packages.calls.read_text()
    with_packages.calls.write_text("")
    again = with_packages.run()
    assert "prometheus, version 2.42.0 is up to date" in again.stdout
    assert with_packages.calls.read_text() == ""


def test_root_fetches_the_list_of_packages_where_there_is_none(with_packages: Build) -> None:
    done = with_packages.run(NO_PACKAGES="yes", FAKE_UID="0")
    assert done.returncode == 0, done.stderr
    assert "update\ndownload prometheus\n" in with_packages.calls.read_text()


def test_without_packages_it_says_what_to_install(with_packages: Build) -> None:
    (with_packages.path / "apt-get").unlink()
    done = with_packages.run()
    assert done.returncode != 0
    assert "Install Prometheus 2.42 or newer" in done.stderr
