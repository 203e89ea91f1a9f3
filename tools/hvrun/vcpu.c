/* SPDX-License-Identifier: MIT */
/* A virtual CPU: its initial state, its thread, and what to do when it leaves the guest. */
#include "cpuid.h"
#include "hyperv.h"
#include "machine.h"
#include "report.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Makes KVM_RUN and blocking writes return with EINTR. */
#define KICK_SIGNAL SIGUSR1
#define KICK_AGAIN_NS 100000000L

#define MSR_MISC_ENABLE 0x1a0u
#define MISC_ENABLE_FAST_STRINGS 0x1u
#define MSR_MTRR_DEFAULT_TYPE 0x2ffu
#define MTRR_ENABLE 0x800u
#define MTRR_WRITE_BACK 0x6u

static int set_msr(struct vcpu *vcpu, uint32_t index, uint64_t data)
{
	/* A struct kvm_msrs, which ends in an array, with one entry. */
	struct {
		uint32_t count;
		uint32_t pad;
		struct kvm_msr_entry entry;
	} msrs = {.count = 1, .entry = {.index = index, .data = data}};

	if (ioctl(vcpu->fd, KVM_SET_MSRS, &msrs) != 1)
		return report(HVRUN_VMM_ERROR, "cannot set MSR 0x%x: %s", index, strerror(errno));
	return 0;
}

/* What firmware would have set up; kernels warn when it has not. */
static int set_msrs(struct vcpu *vcpu)
{
	const int status = set_msr(vcpu, MSR_MTRR_DEFAULT_TYPE, MTRR_ENABLE | MTRR_WRITE_BACK);

	if (status || !cpuid_is_intel(vcpu->machine->cpuid))
		return status;
	return set_msr(vcpu, MSR_MISC_ENABLE, MISC_ENABLE_FAST_STRINGS);
}

int vcpu_create(struct vcpu *vcpu, struct machine *machine, unsigned index)
{
	void *run;
	int status;

	*vcpu = (struct vcpu){.machine = machine, .index = index};
	vcpu->fd = ioctl(machine->vm_fd, KVM_CREATE_VCPU, index);
	if (vcpu->fd < 0)
		return report(HVRUN_VMM_ERROR, "KVM_CREATE_VCPU %u: %s", index, strerror(errno));
	run = mmap(NULL, machine->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return report(HVRUN_VMM_ERROR, "cannot map vCPU %u: %s", index, strerror(errno));
	vcpu->run = run;

	cpuid_set_apic_id(machine->cpuid, index);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, machine->cpuid) < 0)
		return report(HVRUN_VMM_ERROR, "KVM_SET_CPUID2: %s", strerror(errno));
	status = set_msrs(vcpu);
	return status ? status : hyperv_vcpu_init(machine, vcpu);
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->machine->run_bytes);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
}

static int internal_error(struct vcpu *vcpu)
{
	struct kvm_regs regs = {0};

	ioctl(vcpu->fd, KVM_GET_REGS, &regs);
	return report(HVRUN_VMM_ERROR,
		      "vCPU %u: KVM could not go on: internal error %u at rip 0x%llx", vcpu->index,
		      vcpu->run->internal.suberror, regs.rip);
}

static int system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		return HVRUN_POWERED_OFF;
	case KVM_SYSTEM_EVENT_RESET: /* the guest used the Hyper-V reset MSR */
		return HVRUN_REBOOTED;
	default:
		return report(HVRUN_VMM_ERROR, "vCPU %u: unexpected system event %u", vcpu->index,
			      vcpu->run->system_event.type);
	}
}

/* Returns MACHINE_RUNNING, or the exit status to stop with. */
static int handle_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	const int ours = hyperv_handle_exit(vcpu);

	if (ours != 0)
		return ours > 0 ? MACHINE_RUNNING : HVRUN_VMM_ERROR;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		ports_handle_exit(&vcpu->machine->ports, run);
		return MACHINE_RUNNING;
	case KVM_EXIT_MMIO: /* nothing is there */
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
		return MACHINE_RUNNING;
	case KVM_EXIT_SHUTDOWN:
		report(HVRUN_TRIPLE_FAULT, "vCPU %u: triple fault", vcpu->index);
		return HVRUN_TRIPLE_FAULT;
	case KVM_EXIT_SYSTEM_EVENT:
		return system_event(vcpu);
	case KVM_EXIT_INTERNAL_ERROR:
		return internal_error(vcpu);
	case KVM_EXIT_FAIL_ENTRY:
		return report(HVRUN_VMM_ERROR, "vCPU %u: the CPU refused to run it: 0x%llx",
			      vcpu->index, run->fail_entry.hardware_entry_failure_reason);
	default:
		return report(HVRUN_VMM_ERROR, "vCPU %u: unexpected KVM exit %u", vcpu->index,
			      run->exit_reason);
	}
}

static void *vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;
	struct machine *m = vcpu->machine;
	int status = MACHINE_RUNNING;

	while (status == MACHINE_RUNNING && !machine_stopping(m)) {
		if (ioctl(vcpu->fd, KVM_RUN, 0) == 0)
			status = handle_exit(vcpu);
		else if (errno != EINTR && errno != EAGAIN) /* kicked; a start-up IPI came */
			status = report(HVRUN_VMM_ERROR, "vCPU %u: KVM_RUN: %s", vcpu->index,
					strerror(errno));
	}
	if (status != MACHINE_RUNNING)
		machine_stop(m, status);
	return NULL;
}

static void on_kick(int signal)
{
	(void)signal;
}

/* The thread takes no signal but the kick: all others are the main thread's. */
int vcpu_start(struct vcpu *vcpu)
{
	const struct sigaction kick = {.sa_handler = on_kick}; /* without SA_RESTART */
	sigset_t all_but_kick;
	sigset_t saved;
	int err;

	sigaction(KICK_SIGNAL, &kick, NULL);
	sigfillset(&all_but_kick);
	sigdelset(&all_but_kick, KICK_SIGNAL);
	pthread_sigmask(SIG_SETMASK, &all_but_kick, &saved);
	err = pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	if (err != 0)
		return report(HVRUN_VMM_ERROR, "cannot start a thread for vCPU %u: %s", vcpu->index,
			      strerror(err));
	return 0;
}

/*
 * immediate_exit catches a vCPU that is about to enter the guest, the signal one that is in it. A
 * write may begin to block just after the signal: hence again and again.
 */
void vcpu_join(struct vcpu *vcpu)
{
	struct timespec until;

	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_RELAXED);
	do {
		pthread_kill(vcpu->thread, KICK_SIGNAL);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += KICK_AGAIN_NS;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000L;
		}
	} while (pthread_timedjoin_np(vcpu->thread, NULL, &until) == ETIMEDOUT);
}
