/* SPDX-License-Identifier: MIT */
/* VMBus for a VMM on KVM, both ways, with a KVM that only remembers what it was asked. */
#include "support/fakekvm.h"

#include "util/le.h"
#include "vmbus/proto.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <hvstack/channel.h>
#include <hvstack/host/kvm.h>
#include <hvstack/memory.h>
#include <hvstack/vmbus.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RAM_GPA 0x100000u
#define RAM_BYTES 0x10000u
#define MESSAGE_PAGE (RAM_GPA + 0x1000u)
#define EVENT_PAGE (RAM_GPA + 0x2000u)
#define PARAMETER (RAM_GPA + 0x3000u)
#define RING_GPA (RAM_GPA + 0x4000u)
#define ENABLE 1u
#define MSR_GUEST_OS_ID 0x40000000u
#define MSR_HYPERCALL 0x40000001u
#define MSR_SCONTROL 0x40000080u
#define MSR_SIEFP 0x40000082u
#define MSR_SIMP 0x40000083u
#define MSR_SINT2 0x40000092u
#define MSR_CRASH_P0 0x40000100u
#define MSR_CRASH_CTL 0x40000105u
#define VECTOR 0x42u
#define LONG_MODE (1u << 10)

static struct event_base *base;
static struct hvs_kvm *kvm;
static struct hvs_device *device;
static uint8_t *ram;
static struct hvs_hv_crash crash;
static unsigned crashes;
static unsigned records;
static unsigned faults;
static unsigned connects;
static unsigned opened;
static unsigned readied;

static void on_crash(void *arg, uint32_t vp, const struct hvs_hv_crash *c)
{
	(void)arg;
	cr_assert_eq(vp, 0);
	crash = *c;
	crashes++;
}

static void on_record(void *arg, const struct hvs_record *record)
{
	(void)arg;
	(void)record;
	records++;
}

static void on_fault(void *arg, const struct hvs_guest_fault *fault)
{
	(void)arg;
	(void)fault;
	faults++;
}

static void on_log(void *arg, const struct hvs_log_record *record)
{
	(void)arg;
	(void)record;
}

static int on_connect(void *arg, const struct hvs_connect_request *request)
{
	(void)arg;
	(void)request;
	connects++;
	return -ENOTSUP;
}

static int route(void *arg, uint32_t vp, uint8_t sint, uint32_t *gsi)
{
	(void)arg;
	cr_assert_eq(sint, HVS_VMBUS_SINT);
	*gsi = 100 + vp;
	return vp ? -ENOSPC : 0;
}

static struct hvs_kvm_config config(enum hvs_kvm_synic synic)
{
	return (struct hvs_kvm_config){HVS_KVM_CONFIG_INIT,
				       .vm_fd = FAKEKVM_VM,
				       .vcpu_count = FAKEKVM_VCPUS,
				       .synic = synic,
				       .base = base,
				       .log_level = HVS_LOG_DEBUG,
				       .log = on_log,
				       .guest_fault = on_fault,
				       .record = on_record,
				       .crash = on_crash,
				       .connect_request = on_connect};
}

static void set_up(void)
{
	fakekvm_reset();
	base = event_base_new();
	ram = aligned_alloc(4096, RAM_BYTES);
	memset(ram, 0, RAM_BYTES);
}

static void tear_down(void)
{
	cr_assert_eq(hvs_kvm_drain(kvm), 0);
	hvs_kvm_destroy(kvm);
	kvm = NULL;
	cr_assert_eq(fakekvm.bells, 0);
	event_base_free(base);
	free(ram);
}

TestSuite(kvm, .init = set_up, .fini = tear_down);

/* ---- a guest ---------------------------------------------------------------------------------- */

static int dev_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		    void **ctx)
{
	(void)dev;
	(void)params;
	*ctx = ch;
	opened++;
	return 0;
}

static bool dev_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	(void)ch;
	(void)ctx;
	(void)budget;
	readied++;
	return false;
}

static void dev_close(struct hvs_channel *ch, void *ctx)
{
	(void)ctx;
	hvs_channel_closed(ch);
}

static void make(enum hvs_kvm_synic synic)
{
	static const struct hvs_vsp_ops ops = {HVS_VSP_OPS_INIT, .open = dev_open,
					       .ready = dev_ready, .close = dev_close};
	const struct hvs_offer offer = {HVS_OFFER_INIT, .class_id = {{1}}, .instance_id = {{2}}};
	const struct hvs_kvm_config cfg = config(synic);

	cr_assert_eq(hvs_kvm_create(&cfg, &kvm), 0);
	cr_assert_eq(hvs_kvm_synic_in_use(kvm), synic);
	cr_assert_eq(hvs_mem_add(hvs_kvm_mem(kvm), RAM_GPA, RAM_BYTES, ram, HVS_RDWR), 0);
	cr_assert_eq(hvs_device_offer(hvs_kvm_bus(kvm), &offer, &ops, NULL, &device), 0);
	for (uint32_t vp = 0; vp < FAKEKVM_VCPUS; vp++)
		cr_assert_eq(hvs_kvm_vcpu_init(kvm, vp, FAKEKVM_VCPU + (int)vp), 0);
	cr_assert_eq(hvs_vmbus_start(hvs_kvm_bus(kvm)), 0);
}

static void loop(void)
{
	for (unsigned i = 0; i < 10; i++)
		cr_assert_geq(event_base_loop(base, EVLOOP_NONBLOCK), 0);
}

static int kernel_exit(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_HYPERV;
	return hvs_kvm_handle_exit(kvm, 0, run);
}

static uint64_t kernel_hypercall(uint64_t input, uint64_t param)
{
	struct kvm_run run = {0};

	run.hyperv.type = KVM_EXIT_HYPERV_HCALL;
	run.hyperv.u.hcall.input = input;
	run.hyperv.u.hcall.params[0] = param;
	cr_assert_eq(kernel_exit(&run), 1);
	return run.hyperv.u.hcall.result;
}

static int wrmsr(uint32_t index, uint64_t value)
{
	struct kvm_run run = {.exit_reason = KVM_EXIT_X86_WRMSR,
			      .msr = {.index = index, .data = value}};
	int ret = hvs_kvm_handle_exit(kvm, 0, &run);

	return ret == 1 && run.msr.error ? -EFAULT : ret;
}

static int rdmsr(uint32_t index, uint64_t *value)
{
	struct kvm_run run = {.exit_reason = KVM_EXIT_X86_RDMSR, .msr = {.index = index}};
	int ret = hvs_kvm_handle_exit(kvm, 0, &run);

	*value = run.msr.data;
	return ret == 1 && run.msr.error ? -EFAULT : ret;
}

static int out(uint16_t port, uint8_t size, uint32_t value)
{
	struct {
		struct kvm_run run;
		uint32_t value;
	} page = {.run = {.exit_reason = KVM_EXIT_IO}, .value = value};

	page.run.io.direction = KVM_EXIT_IO_OUT;
	page.run.io.size = size;
	page.run.io.port = port;
	page.run.io.count = 1;
	page.run.io.data_offset = sizeof(page.run);
	return hvs_kvm_handle_exit(kvm, 0, &page.run);
}

static void enable_synic(void)
{
	struct kvm_run run = {0};

	if (hvs_kvm_synic_in_use(kvm) == HVS_KVM_SYNIC_KERNEL) {
		run.hyperv.type = KVM_EXIT_HYPERV_SYNIC;
		run.hyperv.u.synic.control = ENABLE;
		run.hyperv.u.synic.evt_page = EVENT_PAGE | ENABLE;
		run.hyperv.u.synic.msg_page = MESSAGE_PAGE | ENABLE;
		cr_assert_eq(kernel_exit(&run), 1);
		return;
	}
	cr_assert_eq(wrmsr(MSR_SCONTROL, ENABLE), 1);
	cr_assert_eq(wrmsr(MSR_SIEFP, EVENT_PAGE | ENABLE), 1);
	cr_assert_eq(wrmsr(MSR_SIMP, MESSAGE_PAGE | ENABLE), 1);
	cr_assert_eq(wrmsr(MSR_SINT2, VECTOR), 1);
}

/* HvPostMessage's parameter. */
static void put_message(const void *message, uint32_t len)
{
	struct {
		struct hvs_le32 connection_id, reserved, type, len;
	} head = {.connection_id = hvsi_le32(HVS_VMBUS_MESSAGE_CONNECTION),
		  .type = hvsi_le32(HVSI_SYNIC_TYPE_VMBUS),
		  .len = hvsi_le32(len)};

	memcpy(ram + PARAMETER - RAM_GPA, &head, sizeof(head));
	memcpy(ram + PARAMETER - RAM_GPA + sizeof(head), message, len);
}

static struct hvsi_msg_initiate_contact contact(void)
{
	return (struct hvsi_msg_initiate_contact){.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
						  .version = hvsi_le32(HVSI_VERSION(4, 0))};
}

/* And take the answers. */
static void post(const void *message, size_t len)
{
	uint8_t *slot = ram + MESSAGE_PAGE - RAM_GPA + (size_t)HVS_VMBUS_SINT * 256;

	cr_assert_eq(hvs_vmbus_post_message(hvs_kvm_bus(kvm), HVS_VMBUS_MESSAGE_CONNECTION,
					    HVSI_SYNIC_TYPE_VMBUS, message, len),
		     HVS_HV_STATUS_SUCCESS);
	for (unsigned i = 0; i < 4; i++) {
		loop();
		memset(slot, 0, 4);
		hvs_vmbus_slot_free(hvs_kvm_bus(kvm), 0);
	}
}

/* With rings of a page each. */
static void open_channel(void)
{
	const struct hvsi_msg_initiate_contact hello = contact();
	const struct hvsi_msg offers = hvsi_msg_header(HVSI_MSG_REQUESTOFFERS);
	const struct {
		struct hvsi_msg_gpadl_header h;
		struct hvs_le32 bytes, offset;
		struct hvs_le64 page[4];
	} gpadl = {.h = {.h = hvsi_msg_header(HVSI_MSG_GPADL_HEADER),
			 .relid = hvsi_le32(1),
			 .gpadl_id = hvsi_le32(1),
			 .range_bytes = hvsi_le16(8 + 4 * 8),
			 .range_count = hvsi_le16(1)},
		   .bytes = hvsi_le32(4 * 4096),
		   .page = {hvsi_le64(RING_GPA / 4096), hvsi_le64(RING_GPA / 4096 + 1),
			    hvsi_le64(RING_GPA / 4096 + 2), hvsi_le64(RING_GPA / 4096 + 3)}};
	const struct hvsi_msg_open request = {.h = hvsi_msg_header(HVSI_MSG_OPENCHANNEL),
					      .relid = hvsi_le32(1),
					      .gpadl_id = hvsi_le32(1),
					      .downstream_page = hvsi_le32(2)};

	enable_synic();
	post(&hello, sizeof(hello));
	post(&offers, sizeof(offers));
	post(&gpadl, sizeof(gpadl));
	post(&request, sizeof(request));
}

/* A signal that KVM turns into one of the eventfd it was given. */
static void ring(void)
{
	const uint64_t one = 1;
	unsigned before = readied;

	cr_assert_eq(fakekvm.bells, 1);
	cr_assert_eq(write(fakekvm.bell[0].fd, &one, sizeof(one)), sizeof(one));
	loop();
	cr_assert_gt(readied, before);
}

static bool interrupted(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

/* ---- both ways -------------------------------------------------------------------------------- */

Test(kvm, way_is_the_kernels_if_it_can)
{
	struct hvs_kvm_config cfg = config(HVS_KVM_SYNIC_AUTO);
	struct hvs_kvm *k;

	cr_assert_eq(hvs_kvm_create(&cfg, &k), 0);
	cr_assert_eq(hvs_kvm_synic_in_use(k), HVS_KVM_SYNIC_KERNEL);
	hvs_kvm_destroy(k);
	fakekvm.kernel_synic = false;
	cr_assert_eq(hvs_kvm_create(&cfg, &k), 0);
	cr_assert_eq(hvs_kvm_synic_in_use(k), HVS_KVM_SYNIC_USER);
	hvs_kvm_destroy(k);
	fakekvm.user_msrs = false;
	cr_assert_eq(hvs_kvm_create(&cfg, &k), -ENOTSUP);
	cfg.synic = HVS_KVM_SYNIC_KERNEL;
	cr_assert_eq(hvs_kvm_create(&cfg, &k), -ENOTSUP);
	hvs_kvm_destroy(NULL);
}

Test(kvm, bad_configuration_is_refused)
{
	const struct hvs_vmbus_config bus = {HVS_VMBUS_CONFIG_INIT, .max_offers = 5000};
	const struct hvs_kvm_config good = config(HVS_KVM_SYNIC_AUTO);
	struct hvs_kvm_config cfg = good;
	struct hvs_kvm *k;

	cr_assert_eq(hvs_kvm_create(&cfg, NULL), -EINVAL);
	cfg.vm_fd = -1;
	cr_assert_eq(hvs_kvm_create(&cfg, &k), -EINVAL);
	cfg = good;
	cfg.vcpu_count = 0;
	cr_assert_eq(hvs_kvm_create(&cfg, &k), -EINVAL);
	cfg = good;
	cfg.synic = (enum hvs_kvm_synic)3;
	cr_assert_eq(hvs_kvm_create(&cfg, &k), -EINVAL);
	cfg = good;
	cfg.bus = &bus;
	cr_assert_eq(hvs_kvm_create(&cfg, &k), -EINVAL);
	cfg = good;
	cfg.synic = HVS_KVM_SYNIC_USER;
	cfg.vcpu_count = 256; /* APIC ids of an MSI have 8 bits */
	cr_assert_eq(hvs_kvm_create(&cfg, &k), -EINVAL);
}

Test(kvm, vcpus_are_prepared_once)
{
	struct kvm_run run = {.exit_reason = KVM_EXIT_HLT};

	make(HVS_KVM_SYNIC_USER);
	cr_assert_eq(hvs_kvm_vcpu_init(kvm, 0, FAKEKVM_VCPU), -EINVAL);
	cr_assert_eq(hvs_kvm_vcpu_init(kvm, FAKEKVM_VCPUS, FAKEKVM_VCPU), -EINVAL);
	cr_assert_eq(hvs_kvm_handle_exit(kvm, FAKEKVM_VCPUS, &run), -EINVAL);
	cr_assert_eq(hvs_kvm_handle_exit(kvm, 0, &run), 0);
}

Test(kvm, cpuid_has_our_leaves_and_no_others_of_a_hypervisor)
{
	union {
		struct kvm_cpuid2 table;
		uint8_t room[sizeof(struct kvm_cpuid2) + 32 * sizeof(struct kvm_cpuid_entry2)];
	} c = {.table = {.nent = 3}};
	unsigned ours = 0;

	make(HVS_KVM_SYNIC_KERNEL);
	c.table.entries[0].function = 1;
	c.table.entries[1].function = 0x40000000;
	c.table.entries[1].ebx = 0x4b4d564b; /* "KVMK" */
	c.table.entries[2].function = 0x80000000;
	cr_assert_eq(hvs_kvm_cpuid(kvm, &c.table, 5), -E2BIG);
	cr_assert_eq(c.table.nent, 3);
	cr_assert_eq(hvs_kvm_cpuid(kvm, &c.table, 32), 0);
	cr_assert(c.table.entries[0].ecx & 1u << 31);
	for (uint32_t i = 0; i < c.table.nent; i++) {
		cr_assert_neq(c.table.entries[i].ebx, 0x4b4d564b);
		ours += c.table.entries[i].function >> 28 == 4;
	}
	cr_assert_eq(ours, c.table.nent - 2);
	cr_assert_gt(ours, 4);
}

/* ---- the kernel keeps the SynIC ----------------------------------------------------------------- */

Test(kvm, kernel_gets_a_route_and_an_irqfd_for_each_vcpu)
{
	make(HVS_KVM_SYNIC_KERNEL);
	cr_assert_eq(fakekvm.pins, 24 + 16);
	cr_assert_eq(fakekvm.sints, FAKEKVM_VCPUS);
	cr_assert_eq(fakekvm.gsi[0], 24);
	cr_assert_eq(fakekvm.gsi[1], 25);
	cr_assert_eq(*fakekvm_msr(0, MSR_CRASH_CTL), 1ull << 63);
	hvs_kvm_drain(kvm);
	hvs_kvm_destroy(kvm);
	kvm = NULL;
	cr_assert_eq(fakekvm.gsi[0] + fakekvm.gsi[1], 0);
}

Test(kvm, pins_of_the_vmm_are_not_routed)
{
	fakekvm.no_ioapic = true;
	fakekvm.direct_timers = false;
	make(HVS_KVM_SYNIC_KERNEL);
	cr_assert_eq(fakekvm.pins, 0);
	cr_assert_eq(fakekvm.sints, FAKEKVM_VCPUS);
}

Test(kvm, vmm_routes_itself_if_it_wants)
{
	struct hvs_kvm_config cfg = config(HVS_KVM_SYNIC_KERNEL);

	cfg.add_sint_route = route;
	cfg.crash = NULL;
	cr_assert_eq(hvs_kvm_create(&cfg, &kvm), 0);
	cr_assert_eq(hvs_kvm_vcpu_init(kvm, 0, FAKEKVM_VCPU), 0);
	cr_assert_eq(hvs_kvm_vcpu_init(kvm, 1, FAKEKVM_VCPU + 1), -ENOSPC);
	cr_assert_eq(fakekvm.gsi[0], 100);
	cr_assert_eq(*fakekvm_msr(0, MSR_CRASH_CTL), 0);
}

Test(kvm, vcpu_that_the_kernel_refuses_can_be_tried_again)
{
	static const unsigned long requests[] = {KVM_ENABLE_CAP,  KVM_GET_MSRS,        KVM_SET_MSRS,
						 KVM_GET_IRQCHIP, KVM_SET_GSI_ROUTING, KVM_IRQFD};
	const struct hvs_kvm_config cfg = config(HVS_KVM_SYNIC_KERNEL);

	cr_assert_eq(hvs_kvm_create(&cfg, &kvm), 0);
	fakekvm.error = EPERM;
	for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		fakekvm.fails = requests[i];
		cr_assert_eq(hvs_kvm_vcpu_init(kvm, 0, FAKEKVM_VCPU), -EPERM, "%u", i);
	}
	fakekvm.fails = 0;
	fakekvm.halfway = true;
	cr_assert_eq(hvs_kvm_vcpu_init(kvm, 0, FAKEKVM_VCPU), -EIO);
	fakekvm.halfway = false;
	cr_assert_eq(hvs_kvm_vcpu_init(kvm, 0, FAKEKVM_VCPU), 0);
}

Test(kvm, guest_posts_and_is_interrupted_through_the_kernel)
{
	const struct hvsi_msg_initiate_contact hello = contact();

	make(HVS_KVM_SYNIC_KERNEL);
	enable_synic();
	*fakekvm_msr(0, MSR_GUEST_OS_ID) = 0x8100000000000000;
	cr_assert_eq(hvs_kvm_guest_os_id(kvm), 0);
	put_message(&hello, sizeof(hello));
	cr_assert_eq(kernel_hypercall(0x5c, PARAMETER), HVS_HV_STATUS_SUCCESS);
	cr_assert_eq(hvs_kvm_guest_os_id(kvm), 0x8100000000000000);
	loop();
	cr_assert(interrupted(fakekvm.irqfd[0]));
	cr_assert_eq(ram[MESSAGE_PAGE - RAM_GPA + (size_t)HVS_VMBUS_SINT * 256],
		     HVSI_SYNIC_TYPE_VMBUS);
	cr_assert_gt(records, 0);
}

Test(kvm, kernel_rings_for_an_open_channel)
{
	make(HVS_KVM_SYNIC_KERNEL);
	open_channel();
	cr_assert_eq(opened, 1);
	ring();
	cr_assert_eq(kernel_hypercall(0x5d, fakekvm.bell[0].connection_id), HVS_HV_STATUS_SUCCESS);
	cr_assert_eq(kernel_hypercall(0x5d, 12345), HVS_HV_STATUS_INVALID_CONNECTION_ID);
}

Test(kvm, channel_opens_without_a_doorbell)
{
	make(HVS_KVM_SYNIC_KERNEL);
	fakekvm.fails = KVM_HYPERV_EVENTFD;
	fakekvm.error = ENOSPC;
	open_channel();
	cr_assert_eq(opened, 1);
	cr_assert_eq(fakekvm.bells, 0);
}

Test(kvm, kernel_tells_of_a_crash)
{
	struct kvm_run run = {.exit_reason = KVM_EXIT_SYSTEM_EVENT};

	make(HVS_KVM_SYNIC_KERNEL);
	for (uint32_t i = 0; i < 5; i++)
		*fakekvm_msr(0, MSR_CRASH_P0 + i) = 7 + i;
	run.system_event.type = KVM_SYSTEM_EVENT_RESET;
	cr_assert_eq(hvs_kvm_handle_exit(kvm, 0, &run), 0);
	run.system_event.type = KVM_SYSTEM_EVENT_CRASH;
	cr_assert_eq(hvs_kvm_handle_exit(kvm, 0, &run), 1);
	cr_assert_eq(crashes, 1);
	cr_assert_eq(crash.param[4], 11);
	fakekvm.fails = KVM_GET_MSRS;
	fakekvm.error = EIO;
	cr_assert_eq(hvs_kvm_handle_exit(kvm, 0, &run), -EIO);
	cr_assert_eq(crashes, 1);
}

Test(kvm, exits_of_others_are_left_alone)
{
	struct kvm_run run = {0};

	make(HVS_KVM_SYNIC_KERNEL);
	run.hyperv.type = KVM_EXIT_HYPERV_SYNDBG;
	cr_assert_eq(kernel_exit(&run), 0);
	run.exit_reason = KVM_EXIT_HLT;
	cr_assert_eq(hvs_kvm_handle_exit(kvm, 0, &run), 0);
}

Test(kvm, reset_gives_the_kernels_registers_their_first_values)
{
	make(HVS_KVM_SYNIC_KERNEL);
	*fakekvm_msr(0, MSR_GUEST_OS_ID) = 1;
	*fakekvm_msr(1, MSR_SIMP) = MESSAGE_PAGE | ENABLE;
	*fakekvm_msr(1, MSR_SINT2) = VECTOR;
	cr_assert_eq(hvs_kvm_drain(kvm), 0);
	cr_assert_eq(hvs_kvm_reset(kvm), 0);
	cr_assert_eq(*fakekvm_msr(0, MSR_GUEST_OS_ID), 0);
	cr_assert_eq(*fakekvm_msr(1, MSR_SIMP), 0);
	cr_assert_eq(*fakekvm_msr(1, MSR_SINT2), 0x10000);
	fakekvm.fails = KVM_SET_MSRS;
	fakekvm.error = EIO;
	cr_assert_eq(hvs_kvm_reset(kvm), -EIO);
}

Test(kvm, kernels_clock_is_the_reference_time)
{
	uint64_t reference;
	uint64_t host;

	make(HVS_KVM_SYNIC_KERNEL);
	fakekvm.clock_ns = 1234500;
	cr_assert_eq(hvs_kvm_reference_time(kvm, &reference), 0);
	cr_assert_eq(reference, 12345);
	cr_assert_eq(hvs_kvm_sample_time(kvm, &host, &reference), 0);
	cr_assert_eq(reference, 12345);
	fakekvm.fails = KVM_GET_CLOCK;
	fakekvm.error = EIO;
	cr_assert_eq(hvs_kvm_reference_time(kvm, &reference), -EIO);
}

/* ---- the library keeps it ------------------------------------------------------------------------ */

Test(kvm, every_synthetic_msr_exits)
{
	uint64_t value;

	make(HVS_KVM_SYNIC_USER);
	cr_assert_eq(fakekvm.filtered, HVS_HV_MSR_LAST - HVS_HV_MSR_FIRST + 1);
	cr_assert_eq(wrmsr(MSR_GUEST_OS_ID, 5), 1);
	cr_assert_eq(rdmsr(MSR_GUEST_OS_ID, &value), 1);
	cr_assert_eq(value, 5);
	cr_assert_eq(hvs_kvm_guest_os_id(kvm), 5);
	cr_assert_eq(rdmsr(0x400000ff, &value), -EFAULT);
	cr_assert_eq(rdmsr(0x10, &value), 0);
	cr_assert_eq(wrmsr(0x10, 0), 0);
	cr_assert_eq(hvs_kvm_reset(kvm), 0);
	cr_assert_eq(hvs_kvm_guest_os_id(kvm), 0);
}

Test(kvm, create_fails_as_the_filter_does)
{
	static const unsigned long requests[] = {KVM_ENABLE_CAP, KVM_X86_SET_MSR_FILTER};
	const struct hvs_kvm_config cfg = config(HVS_KVM_SYNIC_USER);

	fakekvm.error = EPERM;
	for (unsigned i = 0; i < 2; i++) {
		fakekvm.fails = requests[i];
		cr_assert_eq(hvs_kvm_create(&cfg, &kvm), -EPERM);
	}
	kvm = NULL;
}

Test(kvm, guest_posts_through_the_page_and_is_interrupted_by_messages)
{
	const struct hvsi_msg_initiate_contact hello = contact();

	make(HVS_KVM_SYNIC_USER);
	enable_synic();
	put_message(&hello, sizeof(hello));
	fakekvm.sregs.cr0 = 1;
	fakekvm.sregs.efer = LONG_MODE;
	fakekvm.sregs.cs.l = 1;
	fakekvm.regs = (struct kvm_regs){.rcx = 0x5c, .rdx = PARAMETER, .rax = 99};
	cr_assert_eq(out(0xe8, 1, 0), 1);
	cr_assert_eq(fakekvm.regs.rax, HVS_HV_STATUS_SUCCESS);
	loop();
	cr_assert_gt(fakekvm.messages, 0);
	cr_assert_eq(fakekvm.last_message.data, VECTOR);
}

Test(kvm, guest_of_32_bits_has_parameters_in_pairs)
{
	make(HVS_KVM_SYNIC_USER);
	fakekvm.sregs.cr0 = 1;
	fakekvm.regs = (struct kvm_regs){.rax = 0x1005d, .rcx = 12345, .rdx = 0};
	cr_assert_eq(out(0xe8, 1, 0), 1);
	cr_assert_eq(fakekvm.regs.rax, HVS_HV_STATUS_INVALID_CONNECTION_ID);
	cr_assert_eq(fakekvm.regs.rdx, 0);
}

Test(kvm, programs_and_other_ports_do_not_reach_hypercalls)
{
	struct kvm_run in = {.exit_reason = KVM_EXIT_IO, .io = {.direction = KVM_EXIT_IO_IN}};

	make(HVS_KVM_SYNIC_USER);
	fakekvm.sregs.cr0 = 1;
	fakekvm.sregs.ss.dpl = 3;
	cr_assert_eq(out(0xe8, 1, 0), 0);
	cr_assert_eq(out(0xe8, 2, 0), 0);
	cr_assert_eq(out(0x80, 1, 0), 0);
	cr_assert_eq(hvs_kvm_handle_exit(kvm, 0, &in), 0);
}

Test(kvm, exit_fails_as_the_vcpu_does)
{
	static const unsigned long requests[] = {KVM_GET_SREGS, KVM_GET_REGS, KVM_SET_REGS};

	make(HVS_KVM_SYNIC_USER);
	fakekvm.sregs.cr0 = 1;
	fakekvm.error = EIO;
	for (unsigned i = 0; i < 3; i++) {
		fakekvm.fails = requests[i];
		cr_assert_eq(out(0xe8, 1, 0), -EIO);
		cr_assert_eq(out(0xe4, 4, 12345), requests[i] == KVM_GET_SREGS ? 1 : -EIO);
	}
	fakekvm.fails = KVM_GET_SREGS;
	cr_assert_eq(wrmsr(MSR_HYPERCALL, 0), -EIO);
}

Test(kvm, signal_that_nobody_takes_is_refused_in_r11)
{
	make(HVS_KVM_SYNIC_USER);
	cr_assert_eq(out(0xe4, 4, 12345), 1);
	cr_assert_eq(fakekvm.regs.r11, HVS_HV_STATUS_INVALID_CONNECTION_ID);
}

Test(kvm, signals_ring_a_doorbell_or_exit)
{
	make(HVS_KVM_SYNIC_USER);
	open_channel();
	cr_assert_eq(opened, 1);
	ring();
	cr_assert_eq(out(0xe4, 4, fakekvm.bell[0].connection_id), 1);
	cr_assert_eq(fakekvm.regs.r11, 0);
}

Test(kvm, reference_time_passes)
{
	uint64_t before;
	uint64_t after;

	make(HVS_KVM_SYNIC_USER);
	cr_assert_eq(hvs_kvm_reference_time(kvm, &before), 0);
	usleep(1000);
	cr_assert_eq(hvs_kvm_reference_time(kvm, &after), 0);
	cr_assert_gt(after, before);
}

Test(kvm, reference_tsc_page_is_made_of_the_vms_tsc)
{
	make(HVS_KVM_SYNIC_USER);
	*fakekvm_msr(0, 0x10) = 1000000;
	cr_assert_eq(wrmsr(0x40000021, (RAM_GPA + 0x8000) | ENABLE), 1);
	cr_assert_neq(ram[0x8000], 0); /* its sequence number */
}

Test(kvm, crash_is_reported_by_msrs)
{
	make(HVS_KVM_SYNIC_USER);
	cr_assert_eq(wrmsr(MSR_CRASH_P0, 3), 1);
	cr_assert_eq(wrmsr(MSR_CRASH_CTL, 1ull << 63), 1);
	cr_assert_eq(crashes, 1);
	cr_assert_eq(crash.param[0], 3);
}

Test(kvm, guest_that_wants_to_connect_is_heard)
{
	const struct hvsi_msg_initiate_contact hello = contact();
	const struct hvsi_msg_tl_connect request = {
		.h = hvsi_msg_header(HVSI_MSG_TL_CONNECT_REQUEST)};

	make(HVS_KVM_SYNIC_USER);
	enable_synic();
	post(&hello, sizeof(hello));
	post(&request, sizeof(request));
	cr_assert_eq(connects, 1);
}

Test(kvm, nonsense_of_the_guest_is_reported)
{
	make(HVS_KVM_SYNIC_USER);
	post("nonsense", 8);
	cr_assert_eq(faults, 1);
}
