"""What a scenario works with: Lab starts guests and checks, Guest is one start of hvrun."""

import importlib
import json
import os
import queue
import re
import shlex
import sys
import time

from . import host, images, machine
from .host import LabError

BOOT_SECONDS = 240  # until the guest's session begins: many times what it takes
SILENT_SECONDS = 8  # after this time it is looked whether QEMU's software CPU has failed
REPEATS = 5  # of what was going on then

# What a guest can be asked to do when its script has ended, and hvrun's exit status for that.
# After a crash it stays that of a crash, whatever the dump kernel does.
EXIT_STATUS = {"poweroff": 0, "reboot": 10, "crash": 11}
EXIT_MEANS = {
    0: "the guest powered off",
    2: "hvrun refused its configuration",
    10: "the guest rebooted",
    11: "the guest crashed",
    12: "triple fault",
    13: "VMM or KVM error",
    137: "hvrun was killed",
}


class Failed(Exception):
    """What the scenario is about does not hold."""


class OutOfTime(Failed):
    """Something did not happen in the time it was given."""


def load(name):
    return importlib.import_module("scenarios." + name.replace("-", "_"))


def names():
    files = (host.E2E / "scenarios").glob("[a-z]*.py")
    return sorted(f.stem.replace("_", "-") for f in files)


class Broken(Exception):
    """QEMU's software CPU has failed: nobody can tell whether the scenario holds."""


class Guest:
    """One start of hvrun, its console, and the session (lab: guest/session) in the guest."""

    def __init__(self, process, token, log, deadline, broken, on_output=None):
        self.lines = []  # the console
        self.errors = ""  # hvrun's stderr
        self.status = None  # the script's exit status
        self.exit = None  # hvrun's exit status
        self.ended = False
        self.boot_seconds = None  # from hvrun's start to the script's
        self._process = process
        self._mark = f"@@{token} "
        self._log = log
        self._deadline = deadline
        self._broken = broken
        self._on_output = on_output
        self._state = "boot"
        self._script_lines = []
        self._pending = b""
        self._seen = 0
        self._begun = time.monotonic()
        self._boot_deadline = min(deadline, self._begun + BOOT_SECONDS)

    @property
    def output(self):
        """What the script wrote."""
        return "".join(self._script_lines)

    def wait_for(self, pattern):
        """The match of the next console line (since the last call) in which pattern is found."""
        while True:
            while self._seen < len(self.lines):
                self._seen += 1
                if found := re.search(pattern, self.lines[self._seen - 1]):
                    return found
            if self.ended:
                self._check_script()
                raise Failed(f"{self._how_it_ended()}; its console never showed '{pattern}'")
            self._step(f"waiting for '{pattern}'")

    def finish(self):
        """Waits until hvrun has ended."""
        while not self.ended:
            self._step("waiting for the guest to end")

    def kill(self):
        """kill -9 for hvrun."""
        self._process.kill()
        self.finish()

    def close(self):
        """Nothing of the guest is left behind, whatever happened."""
        if not self.ended:
            self._process.kill()
            self._deadline = self._boot_deadline = time.monotonic() + 20
            try:
                self.finish()
            except OutOfTime:
                raise LabError("hvrun did not go away after kill -9") from None

    def check_end(self, end):
        """The script has succeeded and hvrun left with the status that belongs to `end`."""
        self._check_script()
        if self.exit != EXIT_STATUS[end]:
            raise Failed(f"after {end}: {self._how_it_ended()}, expected {EXIT_STATUS[end]}")

    def _check_script(self):
        if self.status is None:
            raise Failed(f"{self._how_it_ended()} before its script had ended{self._hint()}")
        if self.status != 0:
            said = [x for x in self._script_lines if x.startswith("FAIL: ")]
            raise Failed(said[-1][6:].strip() if said else f"the script exited with {self.status}")

    def _how_it_ended(self):
        if self.exit is None:
            return "the machine that hvrun ran on is gone"
        return f"hvrun's exit status was {self.exit} ({EXIT_MEANS.get(self.exit, 'unknown')})"

    def _hint(self):
        text = self.errors.strip().splitlines()
        return f": {text[-1]}" if text else ""

    def _step(self, doing):
        """Takes one event from hvrun, or raises when there is no more time for it."""
        limit = self._boot_deadline if self._state == "boot" else self._deadline
        left = max(0, limit - time.monotonic())
        try:
            kind, value = self._process.events.get(timeout=min(left, SILENT_SECONDS))
        except queue.Empty:
            if seen := self._broken():
                raise Broken(f"QEMU's software CPU has failed: {seen}") from None
            if left > SILENT_SECONDS:
                return
            after = f"after {time.monotonic() - self._begun:.0f} s"
            if self._state == "boot":
                last = self.lines[-1] if self.lines else "nothing on its console"
                raise OutOfTime(f"the guest did not boot {after}; last: {last.strip()}") from None
            raise OutOfTime(f"time is up {after}, {doing}") from None
        if kind == "out":
            self._take(value)
        elif kind == "err":
            self.errors += value.decode(errors="replace")
            self._write_log("hvrun: " + value.decode(errors="replace"))
        else:
            self._take(b"\n" if self._pending else b"")
            self.exit = value
            self.ended = True
            self._write_log(f"-- hvrun exit status {value}")

    def _take(self, data):
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r") + "\n"
            self.lines.append(text)
            self._write_log(text)
            self._interpret(text)

    def _interpret(self, text):
        before, mark, after = text.partition(self._mark)
        if self._state == "script" and (before if mark else True):
            self._script_lines.append(before)
            if self._on_output:
                self._on_output(before)
        if not mark:
            return
        word, _, rest = after.strip().partition(" ")
        if word == "begin":
            self._state = "script"
            self.boot_seconds = round(time.monotonic() - self._begun, 1)
        elif word == "dmesg":
            self._state = "dmesg"
        elif word == "end" and rest.isdigit():
            self.status = int(rest)
            self._state = "end"
        elif word == "fail":
            raise Failed(f"the guest could not start: {rest}")

    def _write_log(self, text):
        stamp = f"{time.monotonic() - self._begun:7.2f} "
        self._log("".join(f"{stamp}{line.rstrip()}\n" for line in text.splitlines()))


class Lab:
    """What one run of a scenario has: a machine, a fresh directory with root.img, a log, facts."""

    def __init__(self, machine, job, directory, options, log):
        self.machine = machine
        self.dir = directory
        self.kernel = job.kernel
        self.facts = {}
        self.long = options.long  # the full length was asked for
        self._job = job
        self._synic = job.synic
        self._options = options
        self._log = log
        self._deadline = time.monotonic() + options.timeout
        self._guests = []
        self._starts = 0
        self._undo = []

    def fact(self, name, value):
        """Something that was seen, for --report."""
        self.facts[name] = value

    def say(self, text):
        """Something worth reading while it runs, and in the log."""
        host.progress(text)
        self._write_log(text + "\n")

    def check(self, condition, message):
        if not condition:
            raise Failed(message)

    def shell(self, command):
        """Runs a shell command on the machine hvrun runs on; it has to succeed."""
        status, out, err = self.machine.run(f"cd {shlex.quote(self.dir)} && {command}")
        if status != 0:
            raise LabError(f"'{command}' failed there ({status}): {(err or out).strip()}")
        return out

    def try_control(self, command, **arguments):
        """A method of the running hvrun; returns its answer, with "result" or "error"."""
        message = {"jsonrpc": "2.0", "id": 1, "method": command, "params": arguments}
        request = json.dumps(message)
        answer = self.shell(shlex.join([self.program("control"), "control", request]))
        self._write_log(f"-- {request}: {answer}")
        return json.loads(answer)

    def control(self, command, **arguments):
        """A method that has to succeed. Returns its result."""
        answer = self.try_control(command, **arguments)
        self.check("result" in answer, f"{command}: {answer}")
        return answer["result"]

    def try_hvctl(self, *arguments, prefix="", timeout=machine.COMMAND_SECONDS):
        """hvctl for the running hvrun. Returns its exit status, what it says, and its errors."""
        command = shlex.join([self.program("hvctl"), "--socket", "control", *map(str, arguments)])
        command = f"{prefix}{command}"
        status, out, err = self.machine.run(f"cd {shlex.quote(self.dir)} && {command}", timeout)
        self._write_log(f"-- {command}: {status}\n{out}{err}")
        return status, out, err

    def hvctl(self, *arguments, **how):
        """A command that has to succeed. Returns what it says."""
        status, out, err = self.try_hvctl(*arguments, **how)
        self.check(status == 0, f"hvctl {shlex.join(map(str, arguments))}: {status}: {err.strip()}")
        return out

    def hvctl_json(self, *arguments):
        """What it returns."""
        return json.loads(self.hvctl("--json", *arguments))

    def program(self, name):
        """One of the scenario's PROGRAMS, for shell()."""
        return self.machine.program(self._job, name)

    def on_close(self, command):
        """Registers a shell command that undoes something, for when all guests are gone."""
        self._undo.insert(0, command)

    def hvrun(self, *, initrd, disks=("root.img",), append="", cpus=None, options=(), vmm=None):
        """hvrun's command line. Disks are files in self.dir, or absolute; ',ro' may follow."""
        image, _ = self.machine.guest_files(self.kernel)
        command = [vmm or self.machine.hvrun, *options, "--kernel", image, "--initrd", initrd]
        # panic=-1: a crashed guest ends at once. quiet: the console is slow.
        talk = "ignore_loglevel" if self._options.verbose else "quiet"
        command += ["--append", f"console=ttyS0 {talk} panic=-1 mitigations=off {append}".strip()]
        command += ["--memory", f"{self._options.memory}M"]
        command += ["--cpus", str(cpus or self._options.cpus)]
        command += ["--synic", self._synic]
        for disk in disks:
            command += ["--disk", os.path.join(self.dir, disk)]
        return [*command, "--console"]

    def start(
        self, script, *, end="poweroff", systemd=False, initramfs=False, disks=(), append="",
        cpus=None, options=(), vmm=None, programs=(), root="root.img", control=False,
        on_output=None,
    ):  # fmt: skip
        """Starts a guest that runs `script` as root, then does `end`. `disks` come after root.

        systemd: as a unit of the whole system. initramfs: with busybox, no disk is mounted.
        root: another root disk, or None. control: with a socket for Lab.control().
        options: more of hvrun's. vmm: another program with its command line.
        programs: which of the scenario's PROGRAMS the guest has in /run/e2e.
        """
        self._starts += 1
        token = os.urandom(8).hex()
        _, kernel_part = self.machine.guest_files(self.kernel)
        session = os.path.join(self.dir, f"session{self._starts}")
        init = "" if initramfs else "/sbin/init" if systemd else "/run/e2e/init"
        files = {name: self._job.programs[name] for name in programs}
        self.machine.write(session, images.guest_session(script, token, end, init, files))
        initrd = os.path.join(self.dir, f"initrd{self._starts}")
        self.shell(f"cat {shlex.quote(kernel_part)} {shlex.quote(session)} > {shlex.quote(initrd)}")
        argv = self.hvrun(
            initrd=initrd, disks=[*([root] if root else []), *disks], append=append, cpus=cpus,
            options=[*options, *(["--control", f"{self.dir}/control"] if control else [])],
            vmm=vmm,
        )  # fmt: skip
        self._write_log(f"-- {shlex.join(argv)}\n")
        process = self.machine.start(argv)
        guest = Guest(
            process, token, self._write_log, self._deadline, self.machine.broken, on_output
        )
        self._guests.append(guest)
        return guest

    def repeat(self, body):
        """Returns what body() returns. It is begun again, in another L1, if QEMU's software CPU has
        failed: with fresh disks, or disks that may be in any state."""
        for again in range(REPEATS + 1):
            begun = time.monotonic()
            try:
                return body()
            except Broken as e:
                if again == REPEATS:
                    raise
                self.say(f"{e}; this part of {self._job.name} begins again")
                self.facts["repeated"] = self.facts.get("repeated", 0) + 1
                self._guests.clear()
                self._undo.clear()
                self.machine.restart(self._job)
                self._deadline += time.monotonic() - begun

    def boot(self, script, *, end="poweroff", **kwargs):
        """A guest from start to end; its script and hvrun have to succeed. Returns the output."""
        guest = self.start(script, end=end, **kwargs)
        guest.finish()
        guest.check_end(end)
        return guest.output

    def _write_log(self, text):
        self._log.write(text)
        self._log.flush()
        if self._options.verbose:
            sys.stderr.write(text)

    def close(self):
        self.fact("boot_seconds", [guest.boot_seconds for guest in self._guests])
        if not self.machine.healthy:
            return
        if any(not guest.ended for guest in self._guests):
            self._write_log("-- what hvrun's threads are doing:\n" + self.machine.threads())
        for guest in self._guests:
            guest.close()
        for command in self._undo:
            self.machine.run(f"cd {shlex.quote(self.dir)} && {command}")
