"""Debian packages of other suites, unpacked; the machine's own packages stay as they are."""

from . import host
from .host import sh

KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


def unpack(into, package, *suites, dependencies):
    """What an installation of this package on an empty machine would (dependencies), or it alone."""
    host.need("apt-get", "dpkg-deb")
    apt = into / "apt"
    for name in ("sources", "lists/partial", "archives/partial"):
        (apt / name).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources/debian.sources").write_text(
        f"Types: deb\nURIs: {host.mirror()}\nSuites: {' '.join(suites)}\nComponents: main\n"
        f"Signed-By: {KEYS}\n"
    )
    get = [
        "apt-get", "-qq", "-o", "Dir::Etc::sourcelist=/dev/null",
        "-o", f"Dir::Etc::sourceparts={apt}/sources", "-o", f"Dir::State::lists={apt}/lists",
        "-o", f"Dir::State::status={apt}/status", "-o", f"Dir::Cache={apt}",
        "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=",
    ]  # fmt: skip
    sh(*get, "update")
    if dependencies:
        get += ["-y", "--no-install-recommends", "--download-only", "-t", suites[-1]]
        sh(*get, "install", package)
        debs = (apt / "archives").glob("*.deb")
    else:
        sh(*get, "download", f"{package}/{suites[-1]}", cwd=apt)
        debs = apt.glob("*.deb")
    for deb in debs:
        sh("dpkg-deb", "-x", deb, into)
    sh("rm", "-r", apt)
