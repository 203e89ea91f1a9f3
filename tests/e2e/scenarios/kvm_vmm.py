"""The VMM of examples/ and its guest, on KVM: the guest writes to its disk and reads it back."""

PROGRAMS = ["example-kvm-vmm", "example-kvm-guest"]
SAYS = "the guest ended with 0, the disk holds: hello from the guest\n"


def run(lab):
    command = f"timeout 60 {lab.program('example-kvm-vmm')} {lab.program('example-kvm-guest')}"
    for synic in ("", " user"):
        status, out, err = lab.machine.run(command + synic)
        lab.check(status == 0 and out == SAYS, f"{command}{synic}: {status}: {out}{err}")
