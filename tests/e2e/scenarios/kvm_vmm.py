"""The VMM of examples/, on KVM, with its own guest, which writes to its disk and reads it back."""

PROGRAMS = ["example-kvm-vmm", "example-kvm-guest"]


def run(lab):
    command = f"{lab.program('example-kvm-vmm')} {lab.program('example-kvm-guest')}"
    for synic in ("", " user"):
        said = lab.shell(command + synic)
        lab.check(said == "the guest ended with 0, the disk holds: hello from the guest\n", said)
