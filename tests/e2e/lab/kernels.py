"""Guest kernels: finds, downloads and unpacks them, and knows their modules."""

import lzma
import gzip
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import host
from .host import LabError, progress, sh

KERNELS = host.LAB / "kernels"


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel: DIR/vmlinuz and DIR/lib/modules/RELEASE with depmod's files."""

    label: str  # what the user called it, for messages
    dir: Path

    @property
    def release(self):
        return next((self.dir / "lib/modules").iterdir()).name

    @property
    def image(self):
        return self.dir / "vmlinuz"

    @property
    def modules(self):
        return self.dir / "lib/modules" / self.release

    @property
    def series(self):
        """'6.12' for 6.12.117+deb12-cloud-amd64."""
        return ".".join(self.release.split(".")[:2])

    @property
    def key(self):
        return self.dir.name


def resolve(specs):
    """The kernels for --guest's values: series like 6.12, unpacked directories, .deb files."""
    kernels = []
    debs = []
    for spec in specs:
        path = Path(spec)
        if spec.endswith(".deb"):
            if not path.is_file():
                raise LabError(f"--guest {spec}: no such file")
            debs.append(path.resolve())
        elif path.is_dir():
            kernels.append(_from_directory(spec, path))
        elif re.fullmatch(r"\d+\.\d+", spec):
            kernels.append(_from_archive(spec))
        else:
            raise LabError(f"--guest {spec}: not a kernel series (6.12), directory or .deb file")
    if debs:
        kernels.extend(_from_debs(debs))
    return kernels


def _from_archive(series):
    """The newest signed cloud kernel of a series that this machine's apt sources offer."""
    final = KERNELS / series
    if final.exists():
        return Kernel(series, final)
    host.need("apt-get", "dpkg-deb", "depmod")
    names = _archive_names(series)
    if not names:
        host.update_package_lists()
        names = _archive_names(series)
    if not names:
        raise LabError(
            f"no linux-image-{series}.*-cloud-amd64 in this machine's package lists: run 'apt-get "
            f"update', add a source that has it, or give the kernel as a .deb or a directory"
        )
    newest = max(names, key=lambda n: [int(x) for x in re.findall(r"\d+", n)])
    progress(f"downloading {newest}")
    with tempfile.TemporaryDirectory() as tmp:
        sh("apt-get", "download", newest, cwd=tmp)
        return _install(series, final, _unpack(Path(tmp).glob("*.deb"), Path(tmp) / "tree"))


def _archive_names(series):
    wanted = re.compile(rf"linux-image-{re.escape(series)}\.\d\S*-cloud-amd64")
    names = sh("apt-cache", "pkgnames", f"linux-image-{series}").split()
    return [name for name in names if wanted.fullmatch(name)]


def _from_debs(debs):
    """One kernel per release found in these packages: image and modules may come apart."""
    host.need("dpkg-deb", "depmod")
    by_release = {}
    with tempfile.TemporaryDirectory() as tmp:
        for i, deb in enumerate(debs):
            tree = _unpack([deb], Path(tmp) / str(i))
            releases = {d.name for d in tree.glob("lib/modules/*")}
            releases |= {re.sub("^vmlinuz-", "", v.name) for v in tree.glob("boot/vmlinuz-*")}
            if len(releases) != 1:
                raise LabError(f"--guest {deb}: no kernel image or modules in this package")
            by_release.setdefault(releases.pop(), []).append(deb)
        kernels = []
        for release, files in by_release.items():
            final = KERNELS / f"deb-{release}-{host.digest(*sorted(files))}"
            if not final.exists():
                _install(release, final, _unpack(files, Path(tmp) / release))
            kernels.append(Kernel(release, final))
    return kernels


def _from_directory(spec, tree):
    host.need("depmod")
    image, modules = _find(spec, tree)
    final = KERNELS / f"dir-{modules.name}-{host.digest(str(tree.resolve()), image)}"
    if final.exists():
        return Kernel(spec, final)
    return _install(spec, final, tree)


def _unpack(debs, tree):
    # Newer packages have /usr/lib/modules, older ones /lib/modules: here both are the same.
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "lib").symlink_to("usr/lib")
    for deb in debs:
        steps = 'dpkg-deb --fsys-tarfile "$0" | tar -x --keep-directory-symlink -C "$1"'
        sh("bash", "-o", "pipefail", "-c", steps, deb, tree)
    return tree


def _module_dirs(tree):
    """lib/modules/RELEASE directories that hold modules (some packages leave empty ones)."""
    dirs = [*tree.glob("lib/modules/*"), *tree.glob("usr/lib/modules/*")]
    return [d for d in dirs if (d / "kernel").is_dir()]


def _find(label, tree):
    """The kernel image and the modules directory in an unpacked package."""
    modules = {m.resolve() for m in _module_dirs(tree)}
    if len(modules) != 1:
        raise LabError(
            f"kernel {label}: expected one lib/modules/RELEASE/kernel in it, found {len(modules)}"
            + ("; give the package with the modules, too" if not modules else "")
        )
    modules = modules.pop()
    for image in (tree / f"boot/vmlinuz-{modules.name}", modules / "vmlinuz"):
        if image.is_file():
            return image, modules
    raise LabError(f"kernel {label}: no vmlinuz for {modules.name}; give the image's package, too")


def _install(label, final, tree):
    """Puts an unpacked package into the cache in the shape that class Kernel describes."""
    image, modules = _find(label, tree)
    with host.making(final) as scratch:
        shutil.copyfile(image, scratch / "vmlinuz")
        shutil.copytree(
            modules,
            scratch / "lib/modules" / modules.name,
            ignore=shutil.ignore_patterns("build", "source", "vmlinuz"),
        )
        sh("depmod", "-b", scratch, modules.name)
    return Kernel(label, final)


def module_files(kernel, required, optional=()):
    """The named modules and what they depend on, as (name.ko, contents), in loading order."""
    depends = {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        path, _, needs = line.partition(":")
        depends[path] = needs.split()
    by_name = {_module_name(path): path for path in depends}
    builtin = (kernel.modules / "modules.builtin").read_text().splitlines()
    builtin = {_module_name(path) for path in builtin}

    order = []

    def add(path):
        # modules.dep lists what to load first at the end.
        for other in reversed(depends[path]):
            if other not in order:
                add(other)
        if path not in order:
            order.append(path)

    for name in [*required, *optional]:
        if name in by_name:
            add(by_name[name])
        elif name not in builtin and name in required:
            raise LabError(f"kernel {kernel.release} has no module {name}, built in or loadable")
    return [(_module_name(path) + ".ko", _read_module(kernel.modules / path)) for path in order]


def _module_name(path):
    return re.sub(r"\.ko(\.\w+)?$", "", path.rsplit("/", 1)[-1]).replace("-", "_")


def _read_module(path):
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        host.need("zstd")
        return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout
    return data
