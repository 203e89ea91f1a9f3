"""Users with different roles, each with hvctl: what they may they can, and nothing else."""

import json
import shlex

from lab import ic, images

PACKAGES = images.TOOLS
PROGRAMS = [*ic.PROGRAMS, "setpriv"]

USERS = {"monitor": 1001, "backup": 1002, "operator": 1003, "administrator": 1004, "nobody": 1005}
# Command -> who may. What the guest answers does not matter here.
TABLE = {
    "services": "monitor backup operator administrator",
    "heartbeat": "monitor backup operator administrator",
    "kvp list --pool external": "monitor backup operator administrator",
    "kvp set key value": "operator administrator",
    "time-sync": "operator administrator",
    "freeze -- true": "backup administrator",
    "thaw": "backup administrator",
    "net link none down": "operator administrator",
    "service enable heartbeat": "administrator",
    "copy-file /etc/passwd /tmp/x": "administrator",
}
DENIED = 4  # hvctl's exit status

SCRIPT = ic.SHELL + r"""
start_daemons kvp_daemon
echo ready
until kvp_items 0 | grep -qx 'go=end'; do sleep 0.1; done
exit 0
"""


def run(lab):
    rules = [{"user": uid, "role": role} for role, uid in USERS.items() if role != "nobody"]
    rules.append({"user": 0, "role": "administrator"})
    lab.machine.write(f"{lab.dir}/roles.json", json.dumps(rules).encode())
    lab.shell("chmod 755 .")
    guest = lab.start(SCRIPT, options=["--control", f"{lab.dir}/control,roles={lab.dir}/roles.json"])
    guest.wait_for("^ready$")
    ic.until_ready(lab, "kvp")
    wrong = []
    for command, roles in TABLE.items():
        for user, uid in USERS.items():
            hvctl = shlex.join([lab.program("hvctl"), "--socket", f"{lab.dir}/control"])
            become = f"{lab.program('setpriv')} --reuid {uid} --regid {uid} --clear-groups"
            status, out, err = lab.machine.run(f"cd / && {become} {hvctl} {command}")
            if (status != DENIED) != (user in roles.split()):
                wrong.append(f"{user}: {command}: {status}: {out}{err}".strip())
    lab.check(not wrong, "; ".join(wrong))
    lab.hvctl("kvp", "set", "go", "end")
    guest.finish()
    guest.check_end("poweroff")
    denied = [x for x in guest.errors.splitlines() if "denied" in x]
    lab.check(len(denied) >= 10, f"hvrun has logged {len(denied)} refusals")
