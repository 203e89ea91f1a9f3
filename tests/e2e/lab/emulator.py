"""The QEMU that L1 runs under.

With QEMU's software CPU, a CPU of a guest sometimes goes on with code that another CPU has just
patched; Linux patches itself all the time (static keys), and hangs or dies then. From 8.1 on this is
much rarer: QEMU locks a page while it translates code from it. Where the machine's QEMU is older,
the one from Debian's backports is unpacked under build/lab; the machine's packages stay as they are.
"""

import functools
import re

from . import host
from .host import LabError, progress, sh

PROGRAM = "qemu-system-x86_64"
PACKAGE = "qemu-system-x86"
GOOD = (8, 1)
CACHE = host.LAB / "qemu"


def version(program):
    found = re.search(r"version (\d+)\.(\d+)", sh(program, "--version"))
    return tuple(map(int, found.groups())) if found else (0, 0)


@functools.cache
def command():
    """How to call it. Cached."""
    host.need(PROGRAM)
    if version(PROGRAM) >= GOOD:
        return [host.which(PROGRAM)]
    program = CACHE / "usr/bin" / PROGRAM
    if not program.exists():
        try:
            _fetch()
        except LabError as e:
            progress(f"no newer QEMU from backports; guests may stop now and then: {e}")
            return [host.which(PROGRAM)]
    usr = CACHE / "usr"
    return [
        "env", f"LD_LIBRARY_PATH={usr}/lib/x86_64-linux-gnu",
        str(program), "-L", f"{usr}/share/qemu", "-L", f"{usr}/share/seabios",
    ]  # fmt: skip


def _fetch():
    """Unpacks what an installation from backports would change on this machine."""
    host.need("apt-get", "dpkg-deb")
    progress("fetching a newer QEMU from Debian's backports")
    with host.making(CACHE) as scratch:
        apt = scratch / "apt"
        for name in ("sources", "lists/partial", "archives/partial"):
            (apt / name).mkdir(parents=True)
        (apt / "sources/debian.sources").write_text(_sources())
        get = [
            "apt-get", "-qq", "-o", "Dir::Etc::sourcelist=/dev/null",
            "-o", f"Dir::Etc::sourceparts={apt}/sources", "-o", f"Dir::State::lists={apt}/lists",
            "-o", f"Dir::Cache={apt}", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=",
        ]  # fmt: skip
        sh(*get, "update")
        suite = f"{host.suite()}-backports"
        get += ["-y", "--no-install-recommends", "--download-only", "-t", suite]
        sh(*get, "install", PACKAGE)
        for deb in (apt / "archives").glob("*.deb"):
            sh("dpkg-deb", "-x", deb, scratch)
        if version(scratch / "usr/bin" / PROGRAM) < GOOD:
            raise LabError(f"{suite} has no newer one")
        sh("rm", "-r", apt)


def _sources():
    """The machine's own mirror of Debian, with backports."""
    wanted = f"Debian {host.suite()} main "
    form = "$(LABEL) $(CODENAME) $(COMPONENT) $(REPO_URI)"
    targets = sh("apt-get", "indextargets", "--format", form, "Created-By: Packages").splitlines()
    found = [t.removeprefix(wanted) for t in targets if t.startswith(wanted)]
    if not found:
        raise LabError(f"no apt source has {wanted.strip()}")
    return "\n".join([
        "Types: deb",
        f"URIs: {found[0]}",
        f"Suites: {host.suite()} {host.suite()}-backports",
        "Components: main",
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg",
        "",
    ])  # fmt: skip
