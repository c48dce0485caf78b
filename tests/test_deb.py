"""The Debian package in a clean root: installed, used, upgraded, removed and purged; the ledger outlives it all."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from identifai_watch import __version__
from identifai_watch.simulator import Simulator
from tests.harness import KEY, MEDIA

BUILD = Path(__file__).parents[1] / "packaging" / "deb" / "build"
MIRROR = "http://deb.debian.org/debian"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap needs root"),
    pytest.mark.skipif(
        shutil.which("debootstrap") is None or shutil.which("dpkg-deb") is None,
        reason="debootstrap is not installed",
    ),
]

Run = Callable[..., str]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Make a clean Debian of this machine's release, with this Python; skip the test where there is none to be had."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    place = tmp_path / "root"
    command = ["debootstrap", "--variant=minbase", f"--include={PYTHON}", release, str(place), MIRROR]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"no clean root: {(found.stdout + found.stderr).splitlines()[-1:]}")
    yield place
    shutil.rmtree(place)


@pytest.fixture
def run(root: Path) -> Run:
    """Return what runs a command in the clean root, with /proc there, and returns what it says."""

    def inside(*words: str, **environ: str) -> str:
        command = f'mount -t proc proc "{root}/proc" && exec chroot "{root}" "$@"'
        found = subprocess.run(
            ["unshare", "--mount", "sh", "-c", command, "sh", *words],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert 0 == found.returncode, found.stdout
        return found.stdout

    return inside


def built(tmp_path: Path) -> Path:
    """Build the package, without the time that packing it small takes."""
    environ = os.environ | {"PYTHON": sys.executable, "COMPRESSION": "none"}
    found = subprocess.run([BUILD, tmp_path], env=environ, stdout=subprocess.PIPE, text=True, check=True)
    return Path(found.stdout.strip())


def later(package: Path, tmp_path: Path) -> Path:
    """Return the same package as a later revision, whose default of a configuration file is another one."""
    tree = tmp_path / "later"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(control.read_text().replace(f"{__version__}-1", f"{__version__}-2"))
    with (tree / "etc/default/identifai-watch").open("a") as file:
        file.write("# more\n")
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, tmp_path / "later.deb"], check=True
    )
    shutil.rmtree(tree)
    return tmp_path / "later.deb"


def test_the_ledger_outlives_the_package(tmp_path: Path, root: Path, run: Run) -> None:
    """A verdict that was paid for is there after an upgrade, a removal, a purge and a new installation; paid once."""
    package = built(tmp_path)
    shutil.move(later(package, tmp_path), root / "second.deb")
    shutil.move(package, root / "first.deb")
    assert "identifai-watch init" in run("dpkg", "-i", "/first.deb")
    assert f"identifai-watch, version {__version__}\n" == run("identifai-watch", "--version")
    assert "" == run("dpkg", "--verify", "identifai-watch")
    assert "" == run("sh", "-c", f"grep -rlF {tmp_path} /opt /etc || true"), "where it was built"
    unit = root / "usr/lib/systemd/system/identifai-watch.service"
    program = (
        next(line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
        .split("=")[1]
        .split()[0]
    )
    assert run(program, "--version") == run("identifai-watch", "--version")

    with Simulator() as simulator:
        simulator.change(key=KEY)
        settings = root / "etc/identifai-watch/config.toml"
        settings.write_text(
            f'[api]\nurl = "{simulator.url}"\n[ledger]\nurl = "sqlite:////var/lib/identifai-watch/ledger.db"\n'
            '[[folder]]\npath = "/srv/drop"\nsettle_seconds = 0.3\nexisting = "judge"\n'
        )
        (root / "srv/drop").mkdir()
        shutil.copy(MEDIA / "sample.png", root / "srv/drop")
        run("chown", "-R", "identifai-watch:", "/srv/drop")

        def watch(*words: str) -> str:
            command = ("runuser", "-u", "identifai-watch", "--", "identifai-watch", *words)
            return run(*command, IDENTIFAI_API_KEY=KEY)

        watch("once")
        verdict = watch("list", "--json")
        assert '"delivered"' in verdict
        changed = root / "etc/default/identifai-watch"
        changed.write_text("IDENTIFAI_WATCH__API__UPLOADS=2\n")

        run("dpkg", "-i", "--force-confold", "/second.deb")
        assert f"{__version__}-2" in run("dpkg-query", "-W", "identifai-watch")
        assert "IDENTIFAI_WATCH__API__UPLOADS=2\n" == changed.read_text(), "what the operator wrote stays"
        assert verdict == watch("list", "--json")

        said = run("dpkg", "--remove", "identifai-watch")
        assert "What stays" in said
        assert "/var/lib/identifai-watch" in said
        assert not (root / "usr/bin/identifai-watch").is_symlink()
        assert not (root / "opt/identifai-watch").exists()
        said = run("dpkg", "--purge", "identifai-watch")
        assert "/var/lib/identifai-watch /etc/identifai-watch" in said
        assert not changed.exists()
        assert settings.exists()

        run("dpkg", "-i", "/first.deb")
        assert verdict == watch("list", "--json")
        watch("once")
        assert 1 == len(simulator.state.charged), "paid once"
    owner = (root / "var/lib/identifai-watch/ledger.db").stat()
    assert run("id", "-u", "identifai-watch").strip() == str(owner.st_uid)
