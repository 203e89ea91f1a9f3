/* SPDX-License-Identifier: MIT */
/*
 * The kernel way: KVM emulates Hyper-V's MSRs, timers and interrupt controller. It tells us where
 * the guest puts its SynIC pages and passes on HvPostMessage; we write into the pages and have it
 * fire the SINT.
 */
#include "host/kvm_impl.h"

#include <assert.h>
#include <errno.h>
#include <hvstack/vmbus.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* CPUID 0x40000003 EAX and EDX: what KVM emulates, besides what lib/hv announces itself. */
#define PRIV_VP_RUNTIME (1u << 0)
#define PRIV_SYNTIMER (1u << 3)
#define PRIV_APIC_ACCESS (1u << 4)
#define PRIV_REFERENCE_TSC (1u << 9)
#define PRIV_FREQUENCY (1u << 11)
#define FEAT_FREQUENCY (1u << 8)
#define FEAT_DIRECT_TIMERS (1u << 19)

#define MSR_GUEST_OS_ID 0x40000000u
#define MSR_HYPERCALL 0x40000001u
#define MSR_REFERENCE_TSC 0x40000021u
#define MSR_VP_ASSIST_PAGE 0x40000073u
#define MSR_SCONTROL 0x40000080u
#define MSR_SIEFP 0x40000082u
#define MSR_SIMP 0x40000083u
#define MSR_SINT0 0x40000090u
#define MSR_STIMER0_CONFIG 0x400000b0u
#define MSR_CRASH_P0 0x40000100u
#define SINTS 16u
#define STIMER_MSRS 8u
#define CRASH_PARAMS 5u
#define MSR_CRASH_CTL 0x40000105u
#define CRASH_CTL_NOTIFY (1ull << 63)
#define SCONTROL_ENABLE 1u
#define SINT_MASKED 0x10000u

#define NS_PER_UNIT 100u /* of reference time */

#define CALL_MASK 0xffffu
#define CALL_POST_MESSAGE 0x5cu
#define CALL_SIGNAL_EVENT 0x5du
#define INPUT_FAST (1ull << 16)

/* GSIs of the PICs and the IOAPIC in KVM's default routing table; ours follow. */
#define PIC_PINS 16u
#define PINS_PER_PIC 8u
#define IOAPIC_PINS 24u
#define FIRST_SINT_GSI IOAPIC_PINS

/* Room for what we read or write at a time. */
#define MAX_MSRS 32u
union msrs {
	uint8_t room[sizeof(struct kvm_msrs) + MAX_MSRS * sizeof(struct kvm_msr_entry)];
	struct kvm_msrs list;
};

static void add_msr(union msrs *m, uint32_t index, uint64_t value)
{
	assert(m->list.nmsrs < MAX_MSRS);
	m->list.entries[m->list.nmsrs++] = (struct kvm_msr_entry){.index = index, .data = value};
}

/* All or nothing: KVM returns how many it has done. */
static int msrs_ioctl(int vcpu_fd, unsigned long request, union msrs *m)
{
	int ret = hvsi_kvm_ioctl(vcpu_fd, request, &m->list);

	if (ret < 0)
		return ret;
	return (unsigned)ret == m->list.nmsrs ? 0 : -EIO;
}

static bool possible(int vm_fd)
{
	return hvsi_kvm_has(vm_fd, KVM_CAP_HYPERV_SYNIC2) &&
	       hvsi_kvm_has(vm_fd, KVM_CAP_HYPERV_EVENTFD) && hvsi_kvm_has(vm_fd, KVM_CAP_IRQFD) &&
	       hvsi_kvm_has(vm_fd, KVM_CAP_IRQ_ROUTING);
}

static int configure(const struct hvs_kvm_config *cfg, struct hvs_hv_config *hv)
{
	hv->flags = HVS_HV_EXTERNAL_SINTS;
	hv->extra_privileges =
		PRIV_VP_RUNTIME | PRIV_APIC_ACCESS | PRIV_REFERENCE_TSC | PRIV_FREQUENCY;
	hv->extra_features = FEAT_FREQUENCY;
	/*
	 * Timers only if they can interrupt directly. Otherwise they post messages, and Linux takes
	 * them in VMBus's own slot, where KVM's writing would race with ours. They came with this
	 * capability, in Linux 5.0.
	 */
	if (hvsi_kvm_has(cfg->vm_fd, KVM_CAP_HYPERV_CPUID)) {
		hv->extra_privileges |= PRIV_SYNTIMER;
		hv->extra_features |= FEAT_DIRECT_TIMERS;
	}
	return 0;
}

static int setup(struct hvs_kvm *kvm)
{
	(void)kvm;
	return 0;
}

/* ---- interrupts ------------------------------------------------------------------------- */

static void add_pin(struct kvm_irq_routing *table, uint32_t gsi, uint32_t chip, uint32_t pin)
{
	table->entries[table->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = {.irqchip = chip, .pin = pin},
	};
}

static void add_sint(struct kvm_irq_routing *table, uint32_t gsi, uint32_t vp)
{
	table->entries[table->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_HV_SINT,
		.u.hv_sint = {.vcpu = vp, .sint = HVS_VMBUS_SINT},
	};
}

/* The table as KVM_CREATE_IRQCHIP makes it: GSI n is pin n of the IOAPIC, and below 16 of a PIC. */
static void add_default_pins(struct kvm_irq_routing *table)
{
	for (uint32_t gsi = 0; gsi < IOAPIC_PINS; gsi++) {
		add_pin(table, gsi, KVM_IRQCHIP_IOAPIC, gsi);
		if (gsi < PIC_PINS)
			add_pin(table, gsi,
				gsi < PINS_PER_PIC ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
				gsi % PINS_PER_PIC);
	}
}

/*
 * Does the kernel have pins? 1: yes; 0: no, with KVM_CAP_SPLIT_IRQCHIP the VMM has them, and the
 * kernel's table starts empty; or a negative errno.
 */
static int has_pins(const struct hvs_kvm *kvm)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};
	int err = hvsi_kvm_ioctl(kvm->cfg.vm_fd, KVM_GET_IRQCHIP, &chip);

	if (err == -ENXIO)
		return 0;
	return err < 0 ? err : 1;
}

/*
 * Install the routes of VPs 0..vp. The ioctl replaces the whole table, and looks up VPs at that
 * moment: it has to be done again for every VP, after the VP has got its SynIC.
 */
static int set_default_routing(struct hvs_kvm *kvm, uint32_t vp)
{
	const size_t entries = IOAPIC_PINS + PIC_PINS + (size_t)vp + 1;
	struct kvm_irq_routing *table;
	int pins = has_pins(kvm);
	int err;

	if (pins < 0)
		return pins;
	table = calloc(1, sizeof(*table) + entries * sizeof(table->entries[0]));
	if (!table)
		return -ENOMEM;
	if (pins)
		add_default_pins(table);
	for (uint32_t i = 0; i <= vp; i++)
		add_sint(table, FIRST_SINT_GSI + i, i);
	err = hvsi_kvm_ioctl(kvm->cfg.vm_fd, KVM_SET_GSI_ROUTING, table);
	free(table);
	return err;
}

static int route_sint(struct hvs_kvm *kvm, uint32_t vp)
{
	struct hvsi_kvm_vcpu *vcpu = &kvm->vcpu[vp];

	if (kvm->cfg.add_sint_route)
		return kvm->cfg.add_sint_route(kvm->cfg.arg, vp, HVS_VMBUS_SINT, &vcpu->gsi);
	vcpu->gsi = FIRST_SINT_GSI + vp;
	return set_default_routing(kvm, vp);
}

static int set_irqfd(const struct hvs_kvm *kvm, const struct hvsi_kvm_vcpu *vcpu, uint32_t flags)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)vcpu->irqfd,
		.gsi = vcpu->gsi,
		.flags = flags,
	};

	return hvsi_kvm_ioctl(kvm->cfg.vm_fd, KVM_IRQFD, &irqfd);
}

/* KVM takes the vector, or that the SINT is masked, from its own register. */
static void interrupt(void *be, uint32_t vp, uint8_t sint, uint8_t vector)
{
	const struct hvs_kvm *kvm = be;
	const uint64_t one = 1;

	(void)vector;
	if (sint == HVS_VMBUS_SINT && kvm->vcpu[vp].irqfd >= 0)
		(void)!write(kvm->vcpu[vp].irqfd, &one, sizeof(one));
}

/* ---- vCPUs ------------------------------------------------------------------------------ */

/* Pages that are set already: by a restore, or by KVM's own reset values. */
static int sync_pages(struct hvs_kvm *kvm, uint32_t vp)
{
	union msrs m = {{0}};
	int err;

	add_msr(&m, MSR_SCONTROL, 0);
	add_msr(&m, MSR_SIEFP, 0);
	add_msr(&m, MSR_SIMP, 0);
	err = msrs_ioctl(kvm->vcpu[vp].fd, KVM_GET_MSRS, &m);
	if (err)
		return err;
	return hvs_hv_synic_update(kvm->hv, vp, m.list.entries[0].data, m.list.entries[1].data,
				   m.list.entries[2].data);
}

/* What the guest reads from CRASH_CTL is ours to say: a notification is what we can take. */
static int offer_crash(const struct hvs_kvm *kvm, uint32_t vp)
{
	union msrs m = {{0}};

	if (!kvm->cfg.crash)
		return 0;
	add_msr(&m, MSR_CRASH_CTL, CRASH_CTL_NOTIFY);
	return msrs_ioctl(kvm->vcpu[vp].fd, KVM_SET_MSRS, &m);
}

static int vcpu_init(struct hvs_kvm *kvm, uint32_t vp)
{
	struct hvsi_kvm_vcpu *vcpu = &kvm->vcpu[vp];
	struct kvm_enable_cap cap = {.cap = KVM_CAP_HYPERV_SYNIC2};
	int err;

	err = hvsi_kvm_ioctl(vcpu->fd, KVM_ENABLE_CAP, &cap);
	if (!err)
		err = sync_pages(kvm, vp);
	if (!err)
		err = offer_crash(kvm, vp);
	if (!err)
		err = route_sint(kvm, vp);
	if (err)
		return err;
	vcpu->irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vcpu->irqfd < 0)
		return -errno;
	err = set_irqfd(kvm, vcpu, 0);
	if (err) {
		close(vcpu->irqfd);
		vcpu->irqfd = -1;
	}
	return err;
}

static void vcpu_fini(struct hvs_kvm *kvm, uint32_t vp)
{
	struct hvsi_kvm_vcpu *vcpu = &kvm->vcpu[vp];

	(void)set_irqfd(kvm, vcpu, KVM_IRQFD_FLAG_DEASSIGN);
	close(vcpu->irqfd);
	vcpu->irqfd = -1;
}

/*
 * KVM makes the counter from its own clock of the VM, in nanoseconds. The MSR itself would have to
 * be read from a vCPU, and that waits until the guest does not run.
 */
static int reference_time(struct hvs_kvm *kvm, uint64_t *reference)
{
	struct kvm_clock_data clock = {0};
	int err = hvsi_kvm_ioctl(kvm->cfg.vm_fd, KVM_GET_CLOCK, &clock);

	if (err)
		return err;
	*reference = clock.clock / NS_PER_UNIT;
	return 0;
}

static int reset_partition(int vcpu_fd)
{
	union msrs m = {{0}};

	add_msr(&m, MSR_HYPERCALL, 0);
	add_msr(&m, MSR_GUEST_OS_ID, 0);
	add_msr(&m, MSR_REFERENCE_TSC, 0);
	for (uint32_t i = 0; i < CRASH_PARAMS; i++)
		add_msr(&m, MSR_CRASH_P0 + i, 0);
	return msrs_ioctl(vcpu_fd, KVM_SET_MSRS, &m);
}

static int reset_vcpu(int vcpu_fd)
{
	union msrs m = {{0}};

	/* Timers first: none may fire into what follows. */
	for (uint32_t i = 0; i < STIMER_MSRS; i++)
		add_msr(&m, MSR_STIMER0_CONFIG + i, 0);
	add_msr(&m, MSR_SIEFP, 0);
	add_msr(&m, MSR_SIMP, 0);
	for (uint32_t i = 0; i < SINTS; i++)
		add_msr(&m, MSR_SINT0 + i, SINT_MASKED);
	add_msr(&m, MSR_SCONTROL, SCONTROL_ENABLE);
	add_msr(&m, MSR_VP_ASSIST_PAGE, 0);
	return msrs_ioctl(vcpu_fd, KVM_SET_MSRS, &m);
}

static int reset(struct hvs_kvm *kvm)
{
	bool first = true;
	int err = 0;

	atomic_store(&kvm->guest_os_id, 0);
	for (uint32_t vp = 0; vp < kvm->cfg.vcpu_count && !err; vp++) {
		if (kvm->vcpu[vp].fd < 0)
			continue;
		if (first)
			err = reset_partition(kvm->vcpu[vp].fd);
		first = false;
		if (!err)
			err = reset_vcpu(kvm->vcpu[vp].fd);
	}
	return err;
}

/* ---- exits ------------------------------------------------------------------------------ */

static int doorbell(struct hvs_kvm *kvm, uint32_t connection_id, int fd, bool on)
{
	struct kvm_hyperv_eventfd bell = {
		.conn_id = connection_id,
		.fd = fd,
		.flags = on ? 0 : KVM_HYPERV_EVENTFD_DEASSIGN,
	};

	return hvsi_kvm_ioctl(kvm->cfg.vm_fd, KVM_HYPERV_EVENTFD, &bell);
}

/* KVM keeps it, and does not tell; a guest has written it when it makes its first hypercall. */
static void look_at_guest_os(struct hvs_kvm *kvm, uint32_t vp)
{
	union msrs m = {{0}};

	add_msr(&m, MSR_GUEST_OS_ID, 0);
	if (msrs_ioctl(kvm->vcpu[vp].fd, KVM_GET_MSRS, &m) == 0)
		atomic_store(&kvm->guest_os_id, m.list.entries[0].data);
}

static int handle_hyperv(struct hvs_kvm *kvm, uint32_t vp, struct kvm_hyperv_exit *why)
{
	uint64_t input;

	switch (why->type) {
	case KVM_EXIT_HYPERV_SYNIC:
		if (hvs_hv_synic_update(kvm->hv, vp, why->u.synic.control, why->u.synic.evt_page,
					why->u.synic.msg_page) < 0)
			return -EINVAL;
		return 1;
	case KVM_EXIT_HYPERV_HCALL:
		input = why->u.hcall.input;
		if ((input & CALL_MASK) == CALL_POST_MESSAGE)
			look_at_guest_os(kvm, vp);
		/* KVM has fetched this one's parameter already, but leaves the fast bit alone. */
		if ((input & CALL_MASK) == CALL_SIGNAL_EVENT)
			input |= INPUT_FAST;
		why->u.hcall.result = hvs_hv_hypercall(kvm->hv, vp, input, why->u.hcall.params[0],
						       why->u.hcall.params[1]);
		return 1;
	default:
		return 0;
	}
}

/* The guest wrote CRASH_CTL; KVM keeps the parameters, and of the value only that it said so. */
static int handle_crash(struct hvs_kvm *kvm, uint32_t vp)
{
	struct hvs_hv_crash crash = {.control = CRASH_CTL_NOTIFY};
	union msrs m = {{0}};
	int err;

	if (!kvm->cfg.crash)
		return 1;
	for (uint32_t i = 0; i < CRASH_PARAMS; i++)
		add_msr(&m, MSR_CRASH_P0 + i, 0);
	err = msrs_ioctl(kvm->vcpu[vp].fd, KVM_GET_MSRS, &m);
	if (err)
		return err;
	for (uint32_t i = 0; i < CRASH_PARAMS; i++)
		crash.param[i] = m.list.entries[i].data;
	kvm->cfg.crash(kvm->cfg.arg, vp, &crash);
	return 1;
}

static int handle_exit(struct hvs_kvm *kvm, uint32_t vp, struct kvm_run *run)
{
	switch (run->exit_reason) {
	case KVM_EXIT_HYPERV:
		return handle_hyperv(kvm, vp, &run->hyperv);
	case KVM_EXIT_SYSTEM_EVENT:
		if (run->system_event.type == KVM_SYSTEM_EVENT_CRASH)
			return handle_crash(kvm, vp);
		return 0;
	default:
		return 0;
	}
}

const struct hvsi_kvm_way hvsi_kvm_kernel = {
	.synic = HVS_KVM_SYNIC_KERNEL,
	.possible = possible,
	.setup = setup,
	.configure = configure,
	.vcpu_init = vcpu_init,
	.vcpu_fini = vcpu_fini,
	.interrupt = interrupt,
	.doorbell = doorbell,
	.handle_exit = handle_exit,
	.reference_time = reference_time,
	.reset = reset,
};
