/* SPDX-License-Identifier: MIT */
/*
 * Holds a VM with one vCPU that never runs, for as long as L1 lives. KVM switches code paths by
 * patching its own instructions when the first VM comes and the last one goes; under QEMU's
 * software CPU the other CPU can stumble over a half-made patch and L1 dies with "Oops: int3".
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(void)
{
	int vm = ioctl(open("/dev/kvm", O_RDWR), KVM_CREATE_VM, 0);

	if (vm < 0 || ioctl(vm, KVM_CREATE_IRQCHIP, 0) < 0 || ioctl(vm, KVM_CREATE_VCPU, 0) < 0)
		return 1;
	for (;;)
		pause();
}
