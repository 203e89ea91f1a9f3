"""Every service is reached; status follows daemons that die and come back, and the driver."""

from lab import ic, images

PACKAGES = images.TOOLS
PROGRAMS = ic.PROGRAMS

IN_KERNEL = ["heartbeat", "shutdown", "time-sync"]

SCRIPT = ic.SHELL + r"""
echo loaded
sleep 3
start_daemons kvp_daemon vss_daemon
echo daemons
read_host() { kvp_items 0 | grep -q "^go=$1\$"; }
wait_go() { tries=0; until read_host $1; do tries=$((tries + 1)); [ $tries -lt 600 ] || fail "no go $1"; sleep 0.1; done; }
wait_go 1
killall hv_kvp_daemon hv_vss_daemon
echo killed
sleep 5
start_daemons kvp_daemon vss_daemon
echo again
wait_go 2
killall hv_kvp_daemon hv_vss_daemon
for round in 1 2 3; do
	rmmod hv_utils || fail "hv_utils does not unload"
	echo unloaded $round
	sleep 2
	modprobe hv_utils || fail "hv_utils does not load"
	start_daemons kvp_daemon vss_daemon
	echo loaded $round
	wait_go 3-$round
	killall hv_kvp_daemon hv_vss_daemon
done
warnings | grep -iE 'hv_|vmbus|BUG|WARNING|Call Trace|blocked for' && fail "see above"
exit 0
"""


def go(lab, word):
    lab.hvctl("kvp", "set", "go", word)


def run(lab):
    guest = lab.start(SCRIPT, control=True)
    ic.until(lab, "hvrun listens", lambda: lab.try_hvctl("version")[0] == 0)
    before = lab.hvctl_json("services")["services"]
    lab.check(all(s["primary"]["name"] == "No Contact" for s in before if s["enabled"]), before)
    guest.wait_for("^loaded$")
    ic.until_ready(lab, *IN_KERNEL)
    lab.check(not ic.service(lab, "kvp")["ready"], "kvp is ready without its daemon")
    beat = ic.until(lab, "a heartbeat", lambda: lab.hvctl_json("heartbeat")["beats"] > 1)
    lab.check(beat, "no heartbeat")
    lab.check(ic.service(lab, "heartbeat")["primary"]["name"] == "OK", "heartbeat is not OK")

    guest.wait_for("^daemons$")
    ic.until_ready(lab, "kvp", "vss")
    name = ic.until(lab, "OSName", lambda: lab.hvctl_json("info")["os"])
    lab.fact("os", name)
    lab.check("Debian" in name["name"], f"the guest says it is {name}")
    record = lab.hvctl_json("info")
    lab.check(record["guest_os"]["name"] == "Linux", record)
    lab.check(record["guest_os"]["version"].startswith(lab.kernel.series + "."), record)
    lab.check(lab.hvctl_json("call", "backup-check")["application"] is True, "can't be frozen")

    go(lab, "1")
    guest.wait_for("^killed$")
    status, _, err = lab.try_hvctl("freeze", "--", "true")
    lab.check(status != 0 and "daemon" in err, f"freeze without a daemon: {status}: {err}")
    guest.wait_for("^again$")
    go(lab, "2")
    for number in (1, 2, 3):
        guest.wait_for(f"^unloaded {number}$")
        ic.until(
            lab, "communication is lost",
            lambda: ic.service(lab, "heartbeat")["primary"]["name"] == "Lost Communication",
        )  # fmt: skip
        guest.wait_for(f"^loaded {number}$")
        ic.until_ready(lab, *IN_KERNEL, "kvp", "vss")
        ic.until(
            lab, "the heartbeat is OK",
            lambda: ic.service(lab, "heartbeat")["primary"]["name"] == "OK",
        )  # fmt: skip
        go(lab, f"3-{number}")
    guest.finish()
    guest.check_end("poweroff")
