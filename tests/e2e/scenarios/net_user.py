"""The user-mode network: DHCP, DNS, a download, traffic to the host, and a forwarded port."""

import re

from lab import images, net

PACKAGES = images.TOOLS
PROGRAMS = ["guest/traffic.c", "nested/dns.c"]

MIB = 24  # about what apt-get update loads

SCRIPT = rf"""
. /run/e2e/lib.sh
nic=$(nic_of {net.mac(0)}) || fail "no network adapter"
udhcpc -i "$nic" -n -q -t 20 > /tmp/dhcp 2>&1 || fail "DHCP: $(cat /tmp/dhcp)"
ip -4 addr show dev "$nic" | grep -q 'inet 10\.0\.2\.' || fail "address: $(ip addr)"
grep -q '^nameserver 10\.0\.2\.3' /etc/resolv.conf || fail "DNS: $(cat /etc/resolv.conf)"
curl -sS -o /tmp/file http://server.lab.test:8080/file || fail "download"
echo "sum $(sha256sum < /tmp/file | cut -d' ' -f1)"
/run/e2e/traffic tcp 10.0.2.2 {net.PORT} 3000000 4 || fail "TCP to the host"
/run/e2e/traffic udp 10.0.2.2 {net.PORT} 100 1400 || fail "UDP to the host"
/run/e2e/traffic serve 9001 &
until_works /run/e2e/traffic tcp 127.0.0.1 9001 10 1
echo "serving"
busybox nc -l -p 9002 < /dev/null
net_complaints && fail "see above"
exit 0
"""


def run(lab):
    lab.shell(
        f"mkdir -p www && dd if=/dev/urandom of=www/file bs=1M count={MIB} 2>/dev/null &&"
        " echo nameserver 127.0.0.1 > /etc/resolv.conf"
    )
    net.serve(lab, f"{lab.program('traffic')} serve {net.PORT}")
    net.serve(lab, f"{lab.program('dns')} 127.0.0.1", "httpd -f -p 8080 -h www")
    guest = lab.start(
        SCRIPT, cpus=net.CPUS, programs=["traffic"],
        options=[*net.IO_THREADS, "--net",
                 f"user,mac={net.mac(0)},forward=tcp:127.0.0.1:7001:9001,"
                 "forward=tcp:127.0.0.1:7002:9002"],
    )  # fmt: skip
    guest.wait_for("^serving")
    said = lab.shell(f"{lab.program('traffic')} tcp 127.0.0.1 7001 1000000 4")
    lab.shell("nc 127.0.0.1 7002 < /dev/null")
    guest.finish()
    guest.check_end("poweroff")
    sums = re.findall(r"^sum (\w+)$", guest.output, re.M)
    lab.check(sums == lab.shell("sha256sum www/file").split()[:1], f"the download is {sums}")
    lab.fact("forwarded", said.strip())
