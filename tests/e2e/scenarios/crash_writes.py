"""hvrun is killed at random moments under four writers: no write that was acknowledged is lost.

Acknowledged: covered by a flush that has returned, or written with FUA. The image itself is looked
at. A guest that only runs the writers starts fast: they are in its initramfs.
"""

import random
import re
import shlex
import time

PROGRAMS = ["guest/writes.c"]

ROUNDS = 4
ROUNDS_LONG = 50
SECTORS = 32768

SCRIPT = r"""
. /run/e2e/lib.sh
exec /run/e2e/writes $(disk_of SECTORS) SEED
"""


def run(lab):
    seed = random.SystemRandom().randrange(1 << 32)
    lab.fact("seed", seed)
    dice = random.Random(seed)
    counts = []

    def one(number):
        lab.shell(f"rm -f data.img && truncate -s {SECTORS * 512} data.img")
        script = SCRIPT.replace("SECTORS", str(SECTORS)).replace("SEED", str(seed + number))
        guest = lab.start(
            script, initramfs=True, root=None, disks=["data.img"], programs=["writes"]
        )
        for _ in range(dice.randrange(1, 60)):
            guest.wait_for(r"^(flushed|durable) ")
        time.sleep(dice.random() * 0.3)
        guest.kill()
        lab.check(guest.status is None, "the writers ended before hvrun was killed")
        said = re.findall(r"^(?:flushed|durable) \d+ \d+$", guest.output, re.M)
        lab.machine.write(f"{lab.dir}/said", "\n".join(said).encode())
        check = shlex.join([lab.program("writes"), "data.img", str(seed + number), "check"])
        status, found, _ = lab.machine.run(f"cd {shlex.quote(lab.dir)} && {check} < said")
        lab.check(status == 0, f"round {number}: {' / '.join(found.splitlines())}")
        counts.append(len(said))

    for number in range(ROUNDS_LONG if lab.long else ROUNDS):
        lab.repeat(lambda: one(number))
    lab.fact("acknowledgements", counts)
