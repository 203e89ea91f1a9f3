"""Where hvrun runs: on this machine if it can run unmodified kernels, else in L1.

L1 is a Debian kernel under QEMU's software CPU, which emulates AMD SVM: a machine that has a real
/dev/kvm. Both classes offer the same: run a command, write a file, start a VMM, a fresh directory
per job with root.img in it. Only this file knows which of the two it is.
"""

import base64
import contextlib
import os
import queue
import re
import shlex
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

from . import emulator, host, images
from .host import LabError, progress, sh

L1_MODULES = ["virtio_blk", "virtio_console", "kvm_amd", "tun", "8021q", "vhost_net"]
# -cx16: with cmpxchg16b a guest died (seen with QEMU 7.2): an exit right behind one seems to leave
# parts of a general register in the guest's EFLAGS, which led to a double fault in its allocator.
# -xsave: XSETBV of a guest's guest takes no effect, so it would run with a wrong set of registers.
# -avx and what needs it: without XSAVE there is none, but aesni_intel only looks for AVX; its self
# test dies, and a shutdown waits a minute and a half for the process that loaded it.
L1_CPU = "EPYC,+svm,+npt,-cx16,-xsave,-avx,-avx2,-fma,-f16c"
# On a busy machine a timer interrupt may come too late for the kernel's check of its wiring.
L1_CMDLINE = "console=ttyS0 quiet mitigations=off panic=-1 tsc=reliable no_timer_check"
L1_BOOT_SECONDS = 120
COMMAND_SECONDS = 120
MAX_JOBS = 20  # drives of one L1
DIE_WITH_ME = ["setpriv", "--pdeathsig", "KILL"]  # no VMM outlives the lab


def has_usable_kvm():
    """An openable /dev/kvm is not enough: without svm or vmx it cannot run unmodified kernels."""
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    if not flags or not {"svm", "vmx"} & set(flags.group(1).split()):
        return False
    return os.access("/dev/kvm", os.R_OK | os.W_OK)


class Process:
    """A running VMM. Events: ("out"|"err", bytes) and at the end ("exit", status or None)."""

    def __init__(self, kill):
        self.events = queue.Queue()
        self.kill = kill  # callable: SIGKILL to the VMM itself

    def push(self, kind, value):
        self.events.put((kind, value))


class Here:
    """This machine."""

    def __init__(self, options, jobs, run_dir, kernels):
        self.dir = run_dir
        self.hvrun = options.hvrun
        self.kernels = kernels
        self.healthy = True
        self._jobs = {job.name: job for job in jobs}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def enter_job(self, job):
        directory = self.dir / job.name
        directory.mkdir(parents=True)
        sh("cp", "--reflink=auto", "--sparse=always", job.root, directory / "root.img")
        return str(directory)

    def leave_job(self, job, keep):
        if not keep:
            shutil.rmtree(self.dir / job.name)

    def program(self, job, name):
        """Where one of the job's programs is, or the lab's."""
        return str({**images.lab_programs(), **job.programs}[name])

    def guest_files(self, kernel):
        return str(kernel.image), str(images.guest_initrd(kernel))

    def run(self, command, timeout=COMMAND_SECONDS):
        """Run a shell command; returns (exit status, stdout, stderr)."""
        try:
            done = subprocess.run(
                ["sh", "-c", command],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise LabError(f"no answer in {timeout} s from: {command}") from None
        return done.returncode, done.stdout, done.stderr

    def threads(self):
        return ""  # gdb can tell

    def broken(self):
        return None

    def unprivileged(self, command):
        """The shell command that runs `command` as a user who may not override permissions."""
        if os.geteuid() != 0:
            return command
        return f"setpriv --reuid 65534 --regid 65534 --clear-groups sh -c {shlex.quote(command)}"

    def write(self, path, data):
        Path(path).write_bytes(data)

    def start(self, argv):
        vmm = subprocess.Popen(
            [*DIE_WITH_ME, *argv],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        process = Process(vmm.kill)

        def pump(kind, stream):
            while data := stream.read1(65536):
                process.push(kind, data)

        def watch():
            pumps = [
                threading.Thread(target=pump, args=args, daemon=True)
                for args in (("out", vmm.stdout), ("err", vmm.stderr))
            ]
            for p in pumps:
                p.start()
            for p in pumps:
                p.join()
            status = vmm.wait()
            process.push("exit", status if status >= 0 else 128 - status)

        threading.Thread(target=watch, daemon=True).start()
        return process


class Nested:
    """L1. Speaks to the shell in it over one virtio-serial port; two more carry a VMM's output."""

    def __init__(self, options, jobs, run_dir, kernels, l1_kernel, log_dir):
        self.dir = run_dir / f"l1-{jobs[0].name}"
        self.hvrun = "/bin/hvrun"
        self.healthy = True
        self._options = options
        self._jobs = list(jobs)
        self._kernels = kernels
        self._l1_kernel = l1_kernel
        self._log = log_dir / f"l1-{jobs[0].name}.log"
        self._process = None
        self._mark = "@@" + os.urandom(8).hex()

    # -- life

    def __enter__(self):
        host.need("qemu-img")
        self.dir.mkdir(parents=True)
        self._argv = self._command()
        self._start()
        return self

    def _start(self):
        begun = time.monotonic()
        try:
            self._qemu = subprocess.Popen(
                [*DIE_WITH_ME, *self._argv],
                stdin=subprocess.DEVNULL, stdout=open(self._log, "ab"), stderr=subprocess.STDOUT,
            )  # fmt: skip
            self._watch = emulator.Watch(self._qemu.pid)
            self._control = self._connect("control")
            self._threads = [
                threading.Thread(target=self._pump, args=(kind,), daemon=True)
                for kind in ("out", "err")
            ]
            for thread in self._threads:
                thread.start()
            status, out, _ = self.run("[ -c /dev/kvm ] && uname -r", timeout=L1_BOOT_SECONDS)
            if status != 0:
                raise LabError(f"L1 has no /dev/kvm, see {self._log}")
        except BaseException:
            self.__exit__()
            raise
        took = time.monotonic() - begun
        progress(f"L1 is up: kernel {out.strip()} under QEMU's software CPU ({took:.1f} s)")

    def restart(self, job):
        """Another L1, when this one does not work any more. The job's disk stays."""
        self._qemu.kill()
        self._qemu.wait()
        for thread in self._threads:
            thread.join()
        self._process = None
        self.healthy = True
        self._start()
        self.enter_job(job)

    def __exit__(self, *exc):
        self._qemu.kill()
        self._qemu.wait()
        if not self._options.keep:
            shutil.rmtree(self.dir)

    def _command(self):
        opt = self._options
        programs = {"hvrun": Path(opt.hvrun), **images.lab_programs()}
        for job in self._jobs:
            programs.update(job.programs)
        guests = {}
        for kernel in self._kernels:
            guests[f"{kernel.key}.vmlinuz"] = kernel.image
            guests[f"{kernel.key}.initrd"] = images.guest_initrd(kernel)
        initramfs = self.dir / "initramfs"
        initramfs.write_bytes(
            images.nested_initramfs(self._l1_kernel, L1_MODULES, programs, guests)
        )
        command = [
            *emulator.command(), "-name", "l1,debug-threads=on", "-nodefaults", "-no-user-config", "-no-reboot",
            "-accel", "tcg,thread=multi", "-M", "q35", "-cpu", L1_CPU,
            "-smp", str(max(2, opt.cpus)), "-m", str(max(3072, opt.memory + 2048)),
            "-display", "none", "-serial", "stdio",
            "-kernel", str(self._l1_kernel.image), "-initrd", str(initramfs),
            "-append", L1_CMDLINE,
            "-device", "virtio-serial-pci",
        ]  # fmt: skip
        for port in ("control", "out", "err"):
            command += [
                "-chardev", f"socket,id={port},path={self._socket(port)},server=on,wait=off",
                "-device", f"virtserialport,chardev={port},name=lab.{port}",
            ]  # fmt: skip
        for i, job in enumerate(self._jobs):
            disk = self.dir / f"{job.name}.qcow2"
            base = images.work_image(job.root)
            sh("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", disk)
            command += [
                "-drive", f"file={disk},format=qcow2,if=none,id=d{i},cache=unsafe,discard=unmap",
                "-device", f"virtio-blk-pci,drive=d{i},serial=job{i}",
            ]  # fmt: skip
        (self.dir / "command").write_text(shlex.join(command) + "\n")
        return command

    def _socket(self, port):
        # Relative to the current directory: absolute paths may exceed a socket name's 107 bytes.
        return os.path.relpath(self.dir / port)

    def _connect(self, port):
        deadline = time.monotonic() + 20
        while True:
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(self._socket(port))
                return sock
            except (FileNotFoundError, ConnectionRefusedError):
                sock.close()
                if self._qemu.poll() is not None or time.monotonic() > deadline:
                    raise LabError(f"QEMU for L1 did not start, see {self._log}") from None
                time.sleep(0.05)

    # -- jobs

    def enter_job(self, job):
        serial = f"job{self._jobs.index(job)}"
        directory = f"/{job.name}"
        status, out, err = self.run(
            f"for s in /sys/block/vd*/serial; do [ $(cat $s) = {serial} ] && b=$(dirname $s); done;"
            f"mkdir -p {directory} && mount -t ext4 /dev/$(basename $b) {directory}"
        )
        if status != 0:
            raise LabError(f"L1 cannot mount its disk: {out}{err}")
        return directory

    def leave_job(self, job, keep):
        self.run(f"umount /{job.name}")

    def program(self, job, name):
        return f"/bin/{name}"

    def guest_files(self, kernel):
        return f"/guests/{kernel.key}.vmlinuz", f"/guests/{kernel.key}.initrd"

    # -- commands

    def run(self, command, timeout=COMMAND_SECONDS):
        """Run a shell command in L1; returns (exit status, stdout, stderr)."""
        self._send(
            f"( {command}\n) </dev/null >/run/o 2>/run/e\n"
            f"echo {self._mark} $? $(stat -c %s /run/o /run/e); cat /run/o /run/e\n",
            timeout,
        )
        try:
            line = b""
            while self._mark.encode() not in line:
                line = self._control_line()
            status, out, err = map(int, line.split()[1:])
            data = b""
            while len(data) < out + err:
                data += self._receive(out + err - len(data))
        except TimeoutError:
            self.healthy = False
            raise LabError(f"L1 silent for {timeout} s, see {self._log}: {command}") from None
        return status, data[:out].decode(errors="replace"), data[out:].decode(errors="replace")

    def _send(self, text, timeout):
        self._control.settimeout(timeout)
        try:
            self._control.sendall(text.encode())
        except OSError as e:
            self.healthy = False
            raise LabError(f"L1 is gone ({e}), see {self._log}") from None

    def _receive(self, count):
        data = self._control.recv(count)
        if not data:
            self.healthy = False
            raise LabError(f"L1 is gone, see {self._log}")
        return data

    def _control_line(self):
        line = b""
        while not line.endswith(b"\n"):
            line += self._receive(1)
        return line

    def threads(self):
        """Where a VMM's threads are, for a log: a silent guest leaves no other trace."""
        try:
            return self.run(
                "cd /proc/$(cat /run/vmm.pid)/task && for t in *; do"
                " echo \"$t $(cat $t/comm) $(cut -d' ' -f3 $t/stat) $(cat $t/syscall)\"; cat $t/stack;"
                " done; cat /proc/interrupts; cat /sys/block/vd*/inflight",
                timeout=20,
            )[1]
        except LabError as e:
            return f"{e}\n"

    def broken(self):
        """Has QEMU's software CPU failed? What was seen, or None. Ask now and then."""
        seen = self._watch.look()
        if seen:
            self.healthy = False
        return seen

    def unprivileged(self, command):
        return f"su -s /bin/sh nobody -c {shlex.quote(command)}"

    def write(self, path, data):
        text = base64.b64encode(data).decode()
        lines = "\n".join(text[i : i + 76] for i in range(0, len(text), 76))
        status, _, err = self.run(f"base64 -d > {path} <<'E'\n{lines}\nE")
        if status != 0:
            raise LabError(f"L1 cannot write {path}: {err}")

    # -- a VMM

    def start(self, argv):
        # In the shell's background: the VMM, and when it has gone a last line with its status.
        self._process = Process(lambda: self.run("kill -9 $(cat /run/vmm.pid)"))
        status, _, err = self.run(
            f"( {shlex.join(argv)} </dev/null >&4 2>&5 & echo $! >/run/vmm.pid; wait $!;"
            f" echo {self._mark} $? >&4 ) >/dev/null 2>/run/wait &"
        )
        if status != 0:
            raise LabError(f"L1 cannot start {argv[0]}: {err}")
        return self._process

    def _pump(self, kind):
        """Passes on what a VMM writes; its exit status comes at the end of stdout."""
        end = re.compile(re.escape(self._mark).encode() + rb" (\d+)\n")
        with contextlib.closing(self._connect(kind)) as sock:
            pending = b""
            while data := sock.recv(65536):
                pending += data
                if found := end.search(pending):
                    self._process.push(kind, pending[: found.start()])
                    self._process.push("exit", int(found.group(1)))
                    pending = pending[found.end() :]
                ready = pending[: _begin_of(self._mark.encode(), pending)]
                pending = pending[len(ready) :]
                if ready and self._process:
                    self._process.push(kind, ready)
        self.healthy = False
        if self._process:
            self._process.push("exit", None)


def _begin_of(mark, data):
    """Where in data the mark begins, or a part of it that more data could complete."""
    found = data.find(mark)
    if found >= 0:
        return found
    for size in range(min(len(mark) - 1, len(data)), 0, -1):
        if data.endswith(mark[:size]):
            return len(data) - size
    return len(data)
