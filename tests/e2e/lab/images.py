"""Builds disk images and initramfs archives; everything slow is cached under build/lab."""

import os
import re
import stat
from pathlib import Path

from . import debian, host, kernels
from .host import E2E, LabError, progress, sh

ROOTS = host.LAB / "roots"
ROOT_LABEL = "e2e-root"  # the guest's initrd finds its root file system by this name
ROOT_SIZE = "4G"  # both are sparse
WORK_SIZE = "8G"

# In every guest: an init for --systemd, udev for coldplug, kmod for modprobe.
BASE_PACKAGES = ["kmod", "systemd-sysv", "udev"]

# What scenarios want in a guest: one root disk for most of them, as making one takes a while.
TOOLS = [
    "busybox", "curl", "e2fsprogs", "eject", "ethtool", "fio", "hyperv-daemons", "iperf3", "iproute2",
    "iputils-ping", "libiscsi-bin", "libpython3-stdlib", "python3-minimal", "radvd", "sg3-utils",
    "sqlite3", "udhcpc",
]  # fmt: skip

# What a guest's initrd loads before it looks for the root file system. The first list is what an
# unmodified guest of Hyper-V needs; the second serves kernels that have these as modules, the third
# is loaded only when the kernel command line asks (stand-in VMMs whose disks are virtio).
GUEST_MODULES = ["hv_vmbus", "hv_storvsc", "sd_mod", "ext4"]
GUEST_MODULES_OPTIONAL = ["crc32c_intel", "crc32c_generic"]
GUEST_MODULES_ON_REQUEST = ["virtio_pci", "virtio_scsi", "virtio_blk"]

# Programs that are built with hvrun, and where in the build folder.
BUILT = {
    "hvctl": "tools/hvctl", "hvrun-echo": "tests",
    "example-kvm-vmm": "examples", "example-kvm-guest": "examples",
}  # fmt: skip


class Cpio:
    """A newc archive in memory: what the kernel unpacks as initramfs."""

    def __init__(self):
        self._out = bytearray()
        self._dirs = set()
        self._ino = 0

    def _entry(self, name, mode, data=b""):
        self._ino += 1
        raw = name.encode() + b"\0"
        fields = (self._ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        self._out += b"070701" + b"".join(b"%08X" % f for f in fields) + raw
        self._out += bytes(-len(self._out) % 4) + data
        self._out += bytes(-len(data) % 4)

    def dir(self, name):
        name = name.strip("/")
        if name and name not in self._dirs:
            self.dir(os.path.dirname(name))
            self._dirs.add(name)
            self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        name = name.strip("/")
        self.dir(os.path.dirname(name))
        if isinstance(data, Path):
            data = data.read_bytes()
        self._entry(name, stat.S_IFREG | mode, data.encode() if isinstance(data, str) else data)

    def finish(self):
        self._entry("TRAILER!!!", 0)
        # A second archive may follow: the kernel wants it to begin on a multiple of four.
        return bytes(self._out) + bytes(-len(self._out) % 512)


# ---- the guest ----


def guest_initrd(kernel):
    """The part of a guest's initrd that depends on the kernel only. Cached."""
    version = host.digest(E2E / "guest/initrd-init", E2E / "lab/images.py")
    final = host.LAB / "initrds" / f"{kernel.key}-{version}.cpio"
    if final.exists():
        return final
    host.need("busybox")
    early = kernels.module_files(kernel, GUEST_MODULES, GUEST_MODULES_OPTIONAL)
    late = kernels.module_files(kernel, [], GUEST_MODULES_ON_REQUEST)
    cpio = Cpio()
    cpio.file("bin/busybox", Path(host.which("busybox")), 0o755)
    cpio.file("init", E2E / "guest/initrd-init", 0o755)
    late = [module for module in late if module not in early]
    for name, data in early + late:
        cpio.file(f"modules/{name}", data)
    cpio.file("modules/order", "".join(f"{name}\n" for name, _ in early))
    cpio.file("modules/order-on-request", "".join(f"{name}\n" for name, _ in late))
    for name in ("proc", "sys", "dev", "run", "root"):
        cpio.dir(name)
    final.parent.mkdir(parents=True, exist_ok=True)
    scratch = final.with_suffix(".tmp")
    scratch.write_bytes(cpio.finish())
    scratch.rename(final)
    return final


def guest_session(script, token, end, init, files=None):
    """The part that belongs to one start of a guest: the script it runs and how that ends.

    `init` is what the initramfs hands over to, on the root disk or "" to stay where it is.
    """
    cpio = Cpio()
    for name in ("init", "session", "lib.sh", "e2e.service"):
        cpio.file(f"e2e/{name}", E2E / "guest" / name, 0o755)
    cpio.file("e2e/job", script)
    cpio.file("e2e/token", token)
    cpio.file("e2e/end", end)
    cpio.file("e2e/real-init", init)
    for name, path in (files or {}).items():
        cpio.file(f"e2e/{name}", path, 0o755)
    return cpio.finish()


def root_image(packages, kernel):
    """An ext4 file system with Debian, these packages and the kernel with its modules. Cached."""
    suite = host.suite()
    packages = sorted({*BASE_PACKAGES, *(_package(p, kernel, suite) for p in packages)})
    tarball = ROOTS / f"debian-{suite}-{host.digest(*packages)}.tar"
    final = ROOTS / f"{tarball.stem}-{kernel.key}-boot"
    if final.exists():
        return final / "root.img"
    host.need("mmdebstrap", "mke2fs", *([] if os.geteuid() == 0 else ["newuidmap"]))
    if not tarball.exists():
        _make_tarball(tarball, suite, packages)
    progress(f"making the root disk: {' '.join(packages)}; kernel {kernel.release}")
    with host.making(final) as scratch:
        # One process, so that without root all of it happens in one user namespace.
        steps = f"""
            set -e
            trap 'rm -rf root' EXIT
            mkdir root
            tar -C root -xf {_quote(tarball)} --exclude './dev/*'
            mkdir -p root/usr/lib/modules
            cp -r {_quote(kernel.modules)} root/usr/lib/modules/
            mkdir -p root/boot
            cp {_quote(kernel.image)} root/boot/vmlinuz
            cp {_quote(guest_initrd(kernel))} root/boot/initrd.img
            echo guest > root/etc/hostname
            mke2fs -q -F -t ext4 -L {ROOT_LABEL} -E lazy_itable_init=0,lazy_journal_init=0 \
                -d root root.img {ROOT_SIZE}
        """
        sh(*_as_root(), "sh", "-c", steps, cwd=scratch)
    return final / "root.img"


def _package(name, kernel, suite):
    """Daemons of the kernel's own series: newer kernels than the suite's come from its backports."""
    if name != "hyperv-daemons":
        return name
    version = re.search(r"^Version: (\d+\.\d+)", sh("apt-cache", "show", name), re.M)
    return name if version and version[1] == kernel.series else f"{name}/{suite}-backports"


def _quote(path):
    return "'" + str(path).replace("'", "'\\''") + "'"


def _as_root():
    if os.geteuid() == 0:
        return ["env"]
    return ["unshare", "--map-root-user", "--map-auto"]


def _make_tarball(tarball, suite, packages):
    """A minimal Debian from this machine's own apt sources, with its apt settings (proxies...)."""
    apt = Path("/etc/apt")
    more = [*apt.glob("sources.list.d/*.list"), *apt.glob("sources.list.d/*.sources")]
    sources = [apt / "sources.list", *sorted(more)]
    sources = [s for s in sources if s.is_file() and s.read_text().strip()]
    if not sources:
        raise LabError(f"no apt sources in {apt}: the guest's packages come from there")
    backports = []
    if any(p.endswith("-backports") for p in packages):
        backports = [f"deb {host.mirror()} {suite}-backports main"]
    settings = tarball.with_suffix(".apt.conf")
    scratch = tarball.with_suffix(".tmp.tar")
    tarball.parent.mkdir(parents=True, exist_ok=True)
    dump = sh("apt-config", "dump", "--format", '%F "%v";%n').splitlines()
    settings.write_text("\n".join(x for x in dump if re.match(r"Acquire::[^\"]+ \"[^\"]+\"", x)))
    progress(f"making a Debian {suite} with {' '.join(packages)} (about half a minute)")
    try:
        sh(
            "mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}",
            f"--aptopt={settings}", "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
            suite, scratch, *sources, *backports,
        )  # fmt: skip
        scratch.rename(tarball)
    finally:
        scratch.unlink(missing_ok=True)
        settings.unlink(missing_ok=True)


# ---- L1, the machine between (see machine.py) ----


def work_image(root):
    """An ext4 file system that holds the root image as the file root.img. Cached beside it."""
    final = root.with_name("work.img")
    if not final.exists():
        host.need("mke2fs")
        with host.making(root.with_name("work")) as scratch:
            os.mkdir(scratch / "tree")
            os.link(root, scratch / "tree" / "root.img")
            sh(
                "mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-E",
                "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0",
                "-d", scratch / "tree", scratch / "work.img", WORK_SIZE,
            )  # fmt: skip
            (scratch / "work.img").rename(final)
    return final


def program(source):
    """A C file of tests/e2e, compiled so that it runs in an initramfs. Cached."""
    source = E2E / source
    headers = sorted(source.parent.glob("*.h"))
    final = host.LAB / f"{source.stem}-{host.digest(source, *headers)}"
    if not final.exists():
        host.need("cc")
        scratch = final.with_suffix(".tmp")
        sh("cc", "-O1", "-Wall", "-static", "-pthread", "-o", scratch, source)
        scratch.rename(final)
    return final


def lab_programs():
    """{name: Path} of what every machine needs."""
    return {name: program(f"nested/{name}.c") for name in ("control", "heartbeat", "keep-kvm")}


def programs(names, hvrun):
    """{name: Path} of what scenarios name: C files and scripts of tests/e2e, programs of TOOLS,
    SUITE:PACKAGE:FILE of Debian, or those of BUILT, beside hvrun or in its build folder."""
    found = {}
    for name in names:
        if name.endswith(".c"):
            found[Path(name).stem] = program(name)
        elif name in BUILT:
            places = [hvrun.with_name(name), hvrun.parents[2] / BUILT[name] / name]
            built = [p for p in places if p.is_file()]
            if not built:
                raise LabError(f"{places[-1]} is missing: build it")
            found[name] = built[0]
        elif ":" in name:
            found[Path(name).name] = _program_of(*name.split(":"))
        elif "/" in name:
            found[Path(name).name] = E2E / name
        else:
            host.need(name)
            found[name] = Path(host.which(name))
    return found


def _program_of(suite, package, path):
    """A file of a package of another suite. Cached."""
    final = host.LAB / f"{package}-{suite}"
    if not final.exists():
        progress(f"fetching {package} from Debian {suite}")
        with host.making(final) as scratch:
            debian.unpack(scratch, package, suite, dependencies=False)
    return final / path


def nested_initramfs(kernel, modules, programs, guests):
    """L1's whole user land. `guests` are the files its guests boot from: {name: Path}."""
    host.need("busybox")
    cpio = Cpio()
    cpio.file("bin/busybox", Path(host.which("busybox")), 0o755)
    cpio.file("init", E2E / "nested/init", 0o755)
    cpio.file("etc/passwd", "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    cpio.file("etc/group", "root:x:0:\nnogroup:x:65534:\n")
    files = kernels.module_files(kernel, modules)
    for name, data in files:
        cpio.file(f"modules/{name}", data)
    cpio.file("modules/order", "".join(f"{name}\n" for name, _ in files))
    for name in ("proc", "sys", "dev", "run", "tmp", "root"):
        cpio.dir(name)
    libraries = {}
    for name, path in programs.items():
        cpio.file(f"bin/{name}", path, 0o755)
        for program in [path, *_needs(path, cpio)]:
            libraries.update(_libraries(program))
    for name, path in libraries.items():
        # The loader is found by its own path, everything else through LD_LIBRARY_PATH.
        cpio.file(name if name.startswith("/") else f"lib/{name}", path, 0o755)
    for name, path in guests.items():
        cpio.file(f"guests/{name}", path)
    return cpio.finish()


def _libraries(program):
    """{soname or loader path: file} of what a dynamically linked program loads."""
    if not host.is_dynamic(program):
        return {}
    found = {}
    for line in sh("ldd", program).splitlines():
        words = line.split()
        if "=>" in words:
            if words[2] == "not":
                raise LabError(f"{program}: library {words[0]} not found")
            found[words[0]] = Path(words[2])
        elif words[0].startswith("/"):
            found[words[0]] = Path(words[0])
    return found


def _needs(script, cpio):
    """Copies the files that a stand-in script names in '# needs:' lines; returns the programs."""
    if not script.read_bytes().startswith(b"#!"):
        return []
    programs = []
    for line in script.read_text().splitlines():
        for path in map(Path, line.split()[2:] if line.startswith("# needs: ") else []):
            if not path.exists():
                raise LabError(f"{script} needs {path}, which is not on this machine")
            files = [p for p in sorted(path.rglob("*")) if p.is_file()] if path.is_dir() else [path]
            for file in files:
                cpio.file(str(file), file, 0o755)
            programs += [f for f in files if os.access(f, os.X_OK)]
    return programs
