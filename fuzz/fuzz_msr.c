/* SPDX-License-Identifier: MIT */
/*
 * MSRs of several VPs, with messages and events in between: pages are placed, moved and taken
 * away while they are used. A model of the registers knows what must be read back, and which
 * page may change.
 */
#include "input.h"
#include "race.h"

#include "hv/msr_numbers.h"

#include <hvstack/hv.h>
#include <hvstack/memory.h>

#include <errno.h>
#include <stdlib.h>

#define PAGE ((size_t)4096)
#define RAM_GPA 0x100000u
#define RAM_PAGES ((size_t)6)
#define RAM_BYTES (RAM_PAGES * PAGE)
#define ROM_GPA (RAM_GPA + (uint32_t)RAM_BYTES) /* one page; nothing behind it */
#define MAX_VPS 4u
#define SINTS 16u

enum { WRITE_MSR, READ_MSR, POST, SIGNAL, WRITE_RAM, PASS_TIME, UPDATE, RESET, CPUID, ACTIONS };

struct vp {
	uint64_t scontrol;
	uint64_t siefp;
	uint64_t simp;
	uint64_t sint[SINTS];
};

struct machine {
	struct hvs_hv_config cfg;
	struct hvs_mem *mem;
	struct hvs_hv *hv;
	uint8_t *ram;
	uint8_t *rom;
	uint8_t before[RAM_BYTES];
	uint64_t now_ns;
	uint64_t tsc;
	uint64_t last_time;
	uint64_t os_id;
	struct vp vp[MAX_VPS];

	unsigned interrupts;
	uint32_t interrupted_vp;
	uint8_t interrupted_sint;
	uint8_t vector;
	unsigned crashes;
	bool has_crash;
	struct hvs_record recorded; /* the last MSR write; kind 0: none yet */
};

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* ---- what the library asks for ---------------------------------------------------------------- */

static void interrupt(void *be, uint32_t vp, uint8_t sint, uint8_t vector)
{
	struct machine *m = be;

	m->interrupts++;
	m->interrupted_vp = vp;
	m->interrupted_sint = sint;
	m->vector = vector;
}

static uint64_t now_ns(void *be)
{
	return ((struct machine *)be)->now_ns;
}

static uint16_t post_message(void *be, uint32_t connection_id, uint32_t message_type,
			     const void *payload, size_t len)
{
	(void)be;
	(void)connection_id;
	(void)message_type;
	(void)payload;
	(void)len;
	abort(); /* nobody makes hypercalls */
}

static uint16_t signal_event(void *be, uint32_t connection_id, uint16_t flag)
{
	return post_message(be, connection_id, flag, NULL, 0);
}

static void slot_free(void *be, uint32_t vp)
{
	must(vp < ((struct machine *)be)->cfg.vp_count);
}

static uint64_t read_tsc(void *be, uint32_t vp)
{
	slot_free(be, vp);
	return ((struct machine *)be)->tsc;
}

static void crash(void *be, uint32_t vp, const struct hvs_hv_crash *c)
{
	slot_free(be, vp);
	must(c->control >> 63);
	((struct machine *)be)->crashes++;
}

static void record(void *be, const struct hvs_record *rec)
{
	must(rec->kind == HVS_RECORD_MSR_WRITE);
	((struct machine *)be)->recorded = *rec;
}

/* ---- the machine ------------------------------------------------------------------------------ */

static void model_reset(struct machine *m)
{
	m->os_id = 0;
	for (uint32_t i = 0; i < MAX_VPS; i++) {
		m->vp[i] = (struct vp){.scontrol = 1};
		for (unsigned s = 0; s < SINTS; s++)
			m->vp[i].sint[s] = 0x10000;
	}
}

static void up(struct machine *m, struct input *in)
{
	static const uint64_t tsc_hz[] = {0, 10000000, 10000001, 2400000000, 1ull << 62};
	struct hvs_hv_ops ops = {HVS_HV_OPS_INIT, .interrupt = interrupt, .now_ns = now_ns,
				 .post_message = post_message, .signal_event = signal_event};
	uint8_t how = (uint8_t)input_number(in, 1);

	memset(m, 0, sizeof(*m));
	m->cfg = (struct hvs_hv_config){HVS_HV_CONFIG_INIT,
					.flags = how & 3,
					.vp_count = 1 + how / 4 % MAX_VPS,
					.hypercall_port = how & 16 ? 0xe8 : 0,
					.signal_port = (how & 48) == 48 ? 0xe4 : 0,
					.tsc_hz = tsc_hz[input_number(in, 1) % 5]};
	m->cfg.apic_hz = m->cfg.tsc_hz;
	m->has_crash = how & 64;
	if (m->has_crash)
		ops.crash = crash;
	if (how & 128) {
		ops.record = record;
		ops.slot_free = slot_free;
		ops.read_tsc = read_tsc;
	}
	m->ram = aligned_alloc(PAGE, RAM_BYTES);
	m->rom = aligned_alloc(PAGE, PAGE);
	if (!m->ram || !m->rom || hvs_mem_create(NULL, &m->mem) ||
	    hvs_mem_add(m->mem, RAM_GPA, RAM_BYTES, m->ram, HVS_RDWR) ||
	    hvs_mem_add(m->mem, ROM_GPA, PAGE, m->rom, HVS_READ) ||
	    hvs_hv_create(&m->cfg, m->mem, &ops, m, &m->hv))
		abort();
	memset(m->ram, 0xff, RAM_BYTES);
	memset(m->rom, 0xff, PAGE);
	model_reset(m);
}

static void down(struct machine *m)
{
	for (size_t i = 0; i < PAGE; i++)
		must(m->rom[i] == 0xff);
	hvs_hv_destroy(m->hv);
	hvs_mem_destroy(m->mem);
	free(m->rom);
	free(m->ram);
}

/* Index of the page a register places, RAM_PAGES: none that can be used. */
static size_t placed(const struct vp *vp, uint64_t reg)
{
	uint64_t gpa = reg & ~(uint64_t)(PAGE - 1);

	if (!(vp->scontrol & 1) || !(reg & 1) || gpa < RAM_GPA || gpa >= RAM_GPA + RAM_BYTES)
		return RAM_PAGES;
	return (size_t)(gpa - RAM_GPA) / PAGE;
}

/* Since `before` was taken, no page but this one has changed. */
static void only_changed(const struct machine *m, size_t page)
{
	for (size_t i = 0; i < RAM_PAGES; i++)
		must(i == page || !memcmp(m->ram + i * PAGE, m->before + i * PAGE, PAGE));
}

/* ---- registers -------------------------------------------------------------------------------- */

static uint32_t any_msr(struct input *in)
{
	static const uint32_t known[] = {
		HVSI_MSR_GUEST_OS_ID,
		HVSI_MSR_HYPERCALL,
		HVSI_MSR_VP_INDEX,
		HVSI_MSR_TIME_REF_COUNT,
		HVSI_MSR_REFERENCE_TSC,
		HVSI_MSR_TSC_FREQUENCY,
		HVSI_MSR_APIC_FREQUENCY,
		HVSI_MSR_VP_ASSIST_PAGE,
		HVSI_MSR_SCONTROL,
		HVSI_MSR_SVERSION,
		HVSI_MSR_SIEFP,
		HVSI_MSR_SIMP,
		HVSI_MSR_EOM,
		HVSI_MSR_SINT0,
		HVSI_MSR_SINT0 + 2,
		HVSI_MSR_SINT15,
		HVSI_MSR_CRASH_P0,
		HVSI_MSR_CRASH_P4,
		HVSI_MSR_CRASH_CTL,
		HVSI_MSR_TSC_INVARIANT,
	};
	const size_t count = sizeof(known) / sizeof(known[0]);
	size_t i = input_number(in, 1);

	return i < 200 ? known[i % count] : HVS_HV_MSR_FIRST + (uint32_t)input_number(in, 2);
}

/* Bits 4..1 pick a page of or around RAM, or a whole number follows. */
static uint64_t any_value(struct input *in)
{
	uint8_t how = (uint8_t)input_number(in, 1);

	if (how & 128)
		return input_number(in, 8);
	if (how & 64)
		return input_number(in, 3);
	return RAM_GPA - PAGE + how / 2 % 16 * PAGE + how % 2;
}

/* The registers that have a model: where; NULL: another. */
static uint64_t *modelled(struct machine *m, uint32_t vp, uint32_t msr)
{
	if (msr >= HVSI_MSR_SINT0 && msr <= HVSI_MSR_SINT15)
		return &m->vp[vp].sint[msr - HVSI_MSR_SINT0];
	switch (msr) {
	case HVSI_MSR_GUEST_OS_ID:
		return &m->os_id;
	case HVSI_MSR_SCONTROL:
		return &m->vp[vp].scontrol;
	case HVSI_MSR_SIEFP:
		return &m->vp[vp].siefp;
	case HVSI_MSR_SIMP:
		return &m->vp[vp].simp;
	default:
		return NULL;
	}
}

static void read_msr(struct input *in, struct machine *m, uint32_t vp)
{
	uint32_t msr = any_msr(in);
	uint64_t value = 0;
	int err = hvs_hv_msr_read(m->hv, vp, msr, &value);

	must(err == 0 || err == -ENOENT);
	if (vp >= m->cfg.vp_count) {
		must(err);
		return;
	}
	if (modelled(m, vp, msr))
		must(!err && value == *modelled(m, vp, msr));
	switch (msr) {
	case HVSI_MSR_VP_INDEX:
		must(!err && value == vp);
		break;
	case HVSI_MSR_TIME_REF_COUNT:
		must(!err && value >= m->last_time);
		m->last_time = value;
		break;
	case HVSI_MSR_SVERSION:
		must(!err && value == 1);
		break;
	case HVSI_MSR_HYPERCALL:
		/* Enabled only as a page of RAM, by a guest that has said who it is. */
		must(!err && (!(value & 1) ||
			      (m->os_id && value >= RAM_GPA && value < RAM_GPA + RAM_BYTES)));
		break;
	case HVSI_MSR_EOM:
	case HVSI_MSR_VP_ASSIST_PAGE:
		must(!err);
		break;
	case HVSI_MSR_CRASH_CTL:
		must(!err == m->has_crash);
		break;
	default:
		break;
	}
}

static void write_msr(struct input *in, struct machine *m, uint32_t vp)
{
	const unsigned crashes = m->crashes;
	uint32_t msr = any_msr(in);
	uint64_t value = any_value(in);
	int err;

	err = hvs_hv_msr_write(m->hv, vp, msr, value, input_number(in, 1) & 1);
	must(err == 0 || err == -ENOENT);
	if (vp >= m->cfg.vp_count) {
		must(err);
		return;
	}
	must(!m->recorded.kind ||
	     (m->recorded.vp == vp && m->recorded.msr == msr && m->recorded.value == value));
	if (modelled(m, vp, msr) && !err)
		*modelled(m, vp, msr) = value;
	/* Only SINTs can be refused. */
	must(!err || !modelled(m, vp, msr) || msr >= HVSI_MSR_SINT0);
	must(m->crashes - crashes ==
	     (m->has_crash && msr == HVSI_MSR_CRASH_CTL && value >> 63 ? 1u : 0u));
}

static void update(struct input *in, struct machine *m, uint32_t vp)
{
	uint64_t scontrol = any_value(in);
	uint64_t siefp = any_value(in);
	uint64_t simp = any_value(in);
	int err = hvs_hv_synic_update(m->hv, vp, scontrol, siefp, simp);

	must(err == (vp < m->cfg.vp_count ? 0 : -EINVAL));
	if (err)
		return;
	m->vp[vp].scontrol = scontrol;
	m->vp[vp].siefp = siefp;
	m->vp[vp].simp = simp;
}

/* ---- deliveries ------------------------------------------------------------------------------- */

static bool deliverable(const struct machine *m, uint32_t vp, uint8_t sint)
{
	return m->cfg.flags & HVS_HV_EXTERNAL_SINTS || !(m->vp[vp].sint[sint] & 0x110000);
}

/* An interrupt, if one was due, and nobody else's. */
static void check_interrupt(const struct machine *m, uint32_t vp, uint8_t sint, bool due)
{
	bool external = m->cfg.flags & HVS_HV_EXTERNAL_SINTS;

	if (due && !external && m->vp[vp].sint[sint] & 0x40000)
		due = false; /* the guest polls */
	must(m->interrupts == due);
	if (due)
		must(m->interrupted_vp == vp && m->interrupted_sint == sint &&
		     m->vector == (external ? 0 : (uint8_t)m->vp[vp].sint[sint]));
}

static void post(struct input *in, struct machine *m, uint32_t vp)
{
	struct hvs_synic_msg msg = {.type = (uint32_t)input_number(in, 1)};
	uint8_t sint = (uint8_t)(input_number(in, 1) % (SINTS + 1));
	bool valid;
	int err;

	msg.payload_len = (uint8_t)input_number(in, 1);
	memset(msg.payload, 0xa5, sizeof(msg.payload));
	valid = vp < m->cfg.vp_count && sint < SINTS && msg.type &&
		msg.payload_len <= HVS_SYNIC_MESSAGE_MAX;
	m->interrupts = 0;
	memcpy(m->before, m->ram, RAM_BYTES);
	err = hvs_hv_post(m->hv, vp, sint, &msg);
	must(err == 0 || err == -EAGAIN || err == -EINVAL);
	must((err == -EINVAL) == !valid);
	only_changed(m, valid ? placed(&m->vp[vp], m->vp[vp].simp) : RAM_PAGES);
	if (valid)
		must(err == -EAGAIN || deliverable(m, vp, sint));
	check_interrupt(m, vp, sint, !err);
	if (!err)
		must(m->ram[placed(&m->vp[vp], m->vp[vp].simp) * PAGE + (size_t)sint * 256 + 4] ==
		     msg.payload_len);
}

static void set_flag(struct input *in, struct machine *m, uint32_t vp)
{
	uint8_t sint = (uint8_t)(input_number(in, 1) % (SINTS + 1));
	uint16_t flag = (uint16_t)(input_number(in, 2) % 2100);
	bool known = !input_more(&race.changes); /* the flag is what it was */
	size_t page = RAM_PAGES;
	size_t byte;

	m->interrupts = 0;
	memcpy(m->before, m->ram, RAM_BYTES);
	if (vp < m->cfg.vp_count && sint < SINTS && flag < 2048 && deliverable(m, vp, sint))
		page = placed(&m->vp[vp], m->vp[vp].siefp);
	hvs_hv_signal(m->hv, vp, sint, flag);
	only_changed(m, page);
	if (page == RAM_PAGES) {
		must(!m->interrupts);
		return;
	}
	byte = page * PAGE + (size_t)sint * 256 + flag / 8u;
	must(m->ram[byte] >> flag % 8 & 1);
	if (known || m->interrupts)
		check_interrupt(m, vp, sint, !known || !(m->before[byte] >> flag % 8 & 1));
}

/* ---- everything ------------------------------------------------------------------------------- */

static void act(struct input *in, struct machine *m)
{
	uint8_t what = (uint8_t)input_number(in, 1);
	uint32_t vp = what / 16 % 8; /* some are none */
	uint32_t regs[4];
	size_t off;
	int err;

	switch (what % 16) {
	case READ_MSR:
		read_msr(in, m, vp);
		break;
	case POST:
		post(in, m, vp);
		break;
	case SIGNAL:
		set_flag(in, m, vp);
		break;
	case WRITE_RAM: /* a slot or an event flag group, mostly: they are 256 bytes */
		off = input_number(in, 2) % (RAM_BYTES / 4) * 4;
		input_bytes(in, m->ram + off, 4);
		break;
	case PASS_TIME:
		m->now_ns += input_number(in, 4);
		m->tsc += input_number(in, 8);
		break;
	case UPDATE:
		update(in, m, vp);
		break;
	case RESET:
		hvs_hv_reset(m->hv);
		model_reset(m);
		must(hvs_hv_guest_os_id(m->hv) == 0);
		break;
	case CPUID:
		off = input_number(in, 1);
		err = hvs_hv_cpuid(m->hv, HVS_HV_CPUID_FIRST + (uint32_t)off, regs);
		must(err == (off <= HVS_HV_CPUID_LAST - HVS_HV_CPUID_FIRST ? 0 : -ENOENT));
		break;
	default:
		write_msr(in, m, vp);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct machine m;
	struct input in = {data, size};

	race_take(&in);
	up(&m, &in);
	race_start(m.ram, RAM_BYTES);
	for (unsigned i = 0; i < 150 && input_more(&in); i++)
		act(&in, &m);
	down(&m);
	return 0;
}
