"""libiscsi's conformance suite (--long; else a fifth) finds no fault in a disk, nor in a read-only one."""

import re

from lab import images

PACKAGES = images.TOOLS

PARTS = 5  # guests that share the work; short ones, as QEMU ruins long ones

SCRIPT = r"""
. /run/e2e/lib.sh
iscsi-test-cu --list | grep -E '^SCSI\.[^.]+\.[^.]+$' | awk 'NR % PARTS == PART' > /tmp/tests
echo "== $(wc -l < /tmp/tests) tests"
iscsi-test-cu --dataloss --verbose --test=/tmp/tests $(sg_of $(nth_disk 1)) 2>&1
exit 0
"""

READ_ONLY = r"""
. /run/e2e/lib.sh
iscsi-test-cu --dataloss --verbose --test=SCSI.ReadOnly $(sg_of $(nth_disk 1)) 2>&1
exit 0
"""

CANNOT_PASS = {
    # Linux's storvsc reports an INQUIRY or MODE SENSE as successful even if the disk refused it.
    "Inquiry.EVPD",
    # It asks for the status of block N + 1 and wants to hear of N + 8, where physical blocks have
    # 8 logical ones.
    "GetLBAStatus.UnmapSingle",
    # It takes "invalid field in CDB", which it has to get, for an unknown command.
    "ReportSupportedOpcodes.OneCommand",
}

# Why the suite may leave a test out.
MAY_SKIP = [
    "only supported for iSCSI backends",
    "Multipath unavailable",
    "allow-sanitize flag is not set",
    "not removable",
    "not write-protected",
    # The disk says so in VPD page B0h, and the suite has seen that it refuses it.
    r"WRITESAME1[06] does not support 0-blocks",
    # One that is read-only does not say that it could be.
    r"\bUNMAP is not implemented",
    # Hyper-V's disks do not know these either.
    r"(EXTENDED_?COPY|RECEIVE_?COPY_?RESULTS?|ORWRITE|PREFETCH\d+|READDEFECTDATA\d+|"
    r"WRITEATOMIC16|RESERVE6) is not implemented",
]


def results(output):
    """{"Suite.Test": (passed, [what was said])}"""
    found, suite, test = {}, None, None
    for line in output.splitlines():
        if match := re.match(r"\s*Suite: (\S+)", line):
            suite, test = match.group(1), None
            continue
        if match := re.match(r"\s*Test: (\S+) \.\.\.(.*)", line):
            test, line = f"{suite}.{match.group(1)}", match.group(2)
            found[test] = [None, []]
        if test is None or not line.strip():
            continue
        if line.strip() in ("passed", "FAILED"):
            found[test][0] = line.strip() == "passed"
        elif line.startswith("Run Summary"):
            test = None
        else:
            found[test][1].append(" ".join(line.split()))
    return found


def judge(lab, kind, found):
    failed, skipped, left_out = {}, {}, 0
    for test, (passed, said) in found.items():
        why = "; ".join(said) or "nothing said"
        skip = [text for text in said if "[SKIPPED]" in text]
        if test in CANNOT_PASS:
            pass
        elif not passed:
            failed[test] = why
        elif skip and not any(re.search(reason, skip[-1]) for reason in MAY_SKIP):
            skipped[test] = skip[-1]
        left_out += bool(skip)
    lab.fact(
        kind, {"tests": len(found), "left_out": left_out, "failed": failed, "skipped": skipped}
    )
    return [f"{test} ({why})" for test, why in {**failed, **skipped}.items()]


def run(lab):
    found = {}
    for part in range(PARTS if lab.long else 1):
        script = SCRIPT.replace("PARTS", str(PARTS)).replace("PART", str(part))
        output = run_suite(lab, script, "data.img")
        mine = results(output)
        lab.check(f"== {len(mine)} tests\n" in output, f"part {part} ran {len(mine)} tests: {output}")
        found.update(mine)
    complaints = judge(lab, "writable", found)
    complaints += judge(lab, "readonly", results(run_suite(lab, READ_ONLY, "data.img,ro")))
    lab.check(not complaints, f"{len(complaints)} tests: " + ", ".join(complaints))


def run_suite(lab, script, disk):
    def boot():
        lab.shell("rm -f data.img && truncate -s 128M data.img")
        return lab.boot(script, disks=[disk])

    output = lab.repeat(boot)
    lab.check("Elapsed time" in output, "the suite did not run to its end")
    return output
