"""A disk that cannot be used: hvrun says so in one line and exits before a guest starts."""

import shlex

# What is done first, the --disk option, as which user, a word the message has to contain.
CASES = {
    "missing": ("true", "none.img", "root", "none.img"),
    "unreadable": ("truncate -s 1M a.img && chmod 000 a.img", "a.img", "nobody", "a.img"),
    "shorter than a sector": ("truncate -s 100 b.img", "b.img", "root", "b.img"),
    "not writable": ("truncate -s 1M c.img && chmod 444 c.img", "c.img", "nobody", "c.img"),
}
SECONDS = 20


def run(lab):
    _, initrd = lab.machine.guest_files(lab.kernel)
    seen = {}
    for case, (prepare, disk, user, word) in CASES.items():
        lab.shell(prepare)
        command = shlex.join(lab.hvrun(initrd=initrd, disks=[disk]))
        command = f"timeout -s KILL {SECONDS} {command}"
        if user == "nobody":
            command = lab.machine.unprivileged(command)
        status, out, err = lab.machine.run(command, timeout=SECONDS + 20)
        seen[case] = {"status": status, "stderr": err.strip()}
        lab.fact("messages", seen)
        lab.check(status not in (124, 137), f"{case}: still running after {SECONDS} s")
        lab.check(status != 0, f"{case}: exit status 0")
        lab.check(len(err.splitlines()) == 1, f"{case}: not one line on stderr: {err!r}")
        lab.check(word in err, f"{case}: the message does not name the disk: {err!r}")
        lab.check(not out, f"{case}: the guest's console already said: {out[:80]!r}")
