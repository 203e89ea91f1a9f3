/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls with any input value and parameter block, over memory that changes while it is read.
 * What they are handed on to checks what it gets, and answers as the input says.
 */
#include "input.h"
#include "race.h"

#include <hvstack/hv.h>
#include <hvstack/memory.h>

#include <stdlib.h>

#define PAGE ((size_t)4096)
#define RAM_GPA 0x100000u
#define RAM_BYTES (2 * PAGE)
#define NEXT_GPA (RAM_GPA + (uint32_t)RAM_BYTES) /* RAM that lies somewhere else in this process */
#define ROM_GPA (NEXT_GPA + (uint32_t)PAGE)      /* nothing behind it */
#define VPS 3u
#define ROM_BYTE 0x5d /* as a block: every call is refused by its reserved bits or size */

enum { CALL, WRITE_RAM, ACTIONS };

struct machine {
	struct hvs_mem *mem;
	struct hvs_hv *hv;
	uint8_t *ram;
	uint8_t *next;
	uint8_t *rom;

	/* Of the hypercall that is under way. */
	uint16_t verdict;
	unsigned handed_on;
	bool recorded;
};

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void interrupt(void *be, uint32_t vp, uint8_t sint, uint8_t vector)
{
	(void)be;
	(void)vp;
	(void)sint;
	(void)vector;
	abort(); /* a hypercall interrupts nobody */
}

static uint64_t now_ns(void *be)
{
	(void)be;
	return 0;
}

/* The guest must not be able to change what it sees. */
static bool is_private(const struct machine *m, const uint8_t *p, size_t len)
{
	return (p + len <= m->ram || p >= m->ram + RAM_BYTES) &&
	       (p + len <= m->next || p >= m->next + PAGE) &&
	       (p + len <= m->rom || p >= m->rom + PAGE);
}

static uint16_t post_message(void *be, uint32_t connection_id, uint32_t message_type,
			     const void *payload, size_t len)
{
	struct machine *m = be;
	uint8_t copy[HVS_SYNIC_MESSAGE_MAX];

	(void)connection_id;
	(void)message_type;
	must(len <= sizeof(copy) && is_private(m, payload, len));
	memcpy(copy, payload, len);
	m->handed_on++;
	return m->verdict;
}

static uint16_t signal_event(void *be, uint32_t connection_id, uint16_t flag)
{
	struct machine *m = be;

	(void)connection_id;
	(void)flag;
	m->handed_on++;
	return m->verdict;
}

static void record(void *be, const struct hvs_record *rec)
{
	struct machine *m = be;

	must(rec->kind == HVS_RECORD_HYPERCALL && rec->vp < VPS && !m->recorded && !m->handed_on);
	m->recorded = true;
}

static uint8_t *add(struct hvs_mem *mem, uint64_t gpa, size_t len, enum hvs_access access)
{
	/* An allocation each: AddressSanitizer sees what goes past its end. */
	uint8_t *p = aligned_alloc(PAGE, len);

	if (!p || hvs_mem_add(mem, gpa, len, p, access))
		abort();
	memset(p, access == HVS_READ ? ROM_BYTE : 0, len);
	return p;
}

static void up(struct machine *m)
{
	const struct hvs_hv_ops ops = {HVS_HV_OPS_INIT,
				       .interrupt = interrupt,
				       .now_ns = now_ns,
				       .post_message = post_message,
				       .signal_event = signal_event,
				       .record = record};
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = VPS};

	*m = (struct machine){0};
	if (hvs_mem_create(NULL, &m->mem))
		abort();
	m->ram = add(m->mem, RAM_GPA, RAM_BYTES, HVS_RDWR);
	m->next = add(m->mem, NEXT_GPA, PAGE, HVS_RDWR);
	m->rom = add(m->mem, ROM_GPA, PAGE, HVS_READ);
	if (hvs_hv_create(&cfg, m->mem, &ops, m, &m->hv))
		abort();
}

static void down(struct machine *m)
{
	for (size_t i = 0; i < PAGE; i++)
		must(m->rom[i] == ROM_BYTE);
	hvs_hv_destroy(m->hv);
	hvs_mem_destroy(m->mem);
	free(m->rom);
	free(m->next);
	free(m->ram);
}

/* Mostly our two calls, mostly blocks in or around RAM. */
static uint64_t call(struct input *in, struct machine *m)
{
	static const uint16_t verdicts[] = {HVS_HV_STATUS_SUCCESS,
					    HVS_HV_STATUS_INVALID_CONNECTION_ID,
					    HVS_HV_STATUS_INSUFFICIENT_BUFFERS};
	uint8_t how = (uint8_t)input_number(in, 1);
	uint64_t value = how & 1 ? 0x5d : 0x5c;
	uint64_t param;

	m->verdict = verdicts[how / 64 % 3];
	if (how & 2)
		value |= 1u << 16; /* fast */
	if (how & 4)
		value ^= input_number(in, 8);
	param = how & 8 ? input_number(in, 8) : RAM_GPA - PAGE + input_number(in, 2) % (6 * PAGE);
	if (how & 16)
		param &= ~7ull;
	return hvs_hv_hypercall(m->hv, how & 32 ? (uint32_t)input_number(in, 4) : how / 64, value,
				param, input_number(in, 1));
}

static void check(const struct machine *m, uint64_t status)
{
	switch (status) {
	case HVS_HV_STATUS_SUCCESS:
	case HVS_HV_STATUS_INVALID_CONNECTION_ID:
	case HVS_HV_STATUS_INSUFFICIENT_BUFFERS:
		must(m->handed_on == 1 && m->recorded && status == m->verdict);
		break;
	case HVS_HV_STATUS_INVALID_HYPERCALL_CODE:
	case HVS_HV_STATUS_INVALID_HYPERCALL_INPUT:
	case HVS_HV_STATUS_INVALID_ALIGNMENT:
	case HVS_HV_STATUS_INSUFFICIENT_MEMORY:
		must(m->handed_on == 0);
		break;
	default:
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct machine m;

	race_take(&in);
	up(&m);
	race_start(m.ram, RAM_BYTES);
	for (unsigned i = 0; i < 100 && input_more(&in); i++) {
		size_t off;

		switch (input_number(&in, 1) % ACTIONS) {
		case CALL:
			m.handed_on = 0;
			m.recorded = false;
			check(&m, call(&in, &m));
			break;
		case WRITE_RAM:
			off = input_number(&in, 2) % RAM_BYTES;
			size = input_number(&in, 1) + 1;
			size = size < RAM_BYTES - off ? size : RAM_BYTES - off;
			input_bytes(&in, m.ram + off, size);
			break;
		}
	}
	down(&m);
	return 0;
}
