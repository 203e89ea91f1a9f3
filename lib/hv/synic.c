/* SPDX-License-Identifier: MIT */
/*
 * Synthetic interrupt controller: registers, message slots, event flags (TLFS 11).
 *
 * A VP's registers are written by the thread that runs it; messages and events come from
 * anywhere. What they need of the registers is published in atomics, and the gate makes sure
 * that no delivery still writes to a page when the guest's MSR write has returned.
 */
#include "hv/msr_numbers.h"
#include "hv/state.h"

#include <errno.h>

#define SLOT_BYTES 256u
#define SLOT_SIZE 4u   /* u8: payload bytes */
#define SLOT_FLAGS 5u  /* u8: bit 0, more messages wait: write end-of-message */
#define SLOT_SENDER 8u /* u64 */
#define SLOT_PAYLOAD 16u
#define EVENT_FLAGS_BYTES 256u
#define EVENT_FLAGS 2048u

void hvsi_synic_reset(struct hvsi_synic *s)
{
	s->scontrol = 1;
	s->siefp = 0;
	s->simp = 0;
	s->vp_assist = 0;
	for (unsigned i = 0; i < HVSI_SINTS; i++)
		atomic_store(&s->sint[i], HVSI_SINT_MASKED);
	atomic_store(&s->event_page, (uintptr_t)0);
	atomic_store(&s->message_page, (uintptr_t)0);
}

/* In the gate, or on the VP's thread. */
static uint8_t HVSI_GUEST *page_of(_Atomic(uintptr_t) *page)
{
	return (uint8_t HVSI_GUEST *)atomic_load(page);
}

/*
 * Place a page where its MSR says. A page that appears anew is zeroed: its content is the
 * hypervisor's, and a stale message type would look like an occupied slot for ever. One that was
 * there when state was saved keeps what is in it.
 */
static void place(const struct hvs_hv *hv, struct hvsi_synic *s, _Atomic(uintptr_t) *page,
		  uint64_t msr, bool anew)
{
	uint8_t HVSI_GUEST *old = page_of(page);
	uint8_t HVSI_GUEST *now = NULL;

	if ((s->scontrol & 1) && (msr & HVSI_PAGE_ENABLE))
		now = hvsi_mem_range(hv->mem, msr & ~(uint64_t)(HVSI_PAGE - 1), HVSI_PAGE,
				     HVS_RDWR);
	if (now == old)
		return;
	if (now && anew)
		hvsi_guest_zero(now, HVSI_PAGE);
	atomic_store(page, (uintptr_t)now);
	hvsi_gate_drain(&s->gate);
}

static void place_pages(struct hvs_hv *hv, uint32_t vp, bool anew)
{
	struct hvsi_synic *s = &hv->vp[vp];

	place(hv, s, &s->event_page, s->siefp, anew);
	place(hv, s, &s->message_page, s->simp, anew);
	if (page_of(&s->message_page) && hv->ops.slot_free)
		hv->ops.slot_free(hv->be, vp);
}

int hvs_hv_synic_update(struct hvs_hv *hv, uint32_t vp, uint64_t scontrol, uint64_t siefp,
			uint64_t simp)
{
	struct hvsi_synic *s;

	if (!hv || vp >= hv->cfg.vp_count)
		return -EINVAL;
	s = &hv->vp[vp];
	s->scontrol = scontrol;
	s->siefp = siefp;
	s->simp = simp;
	place_pages(hv, vp, true);
	return 0;
}

int hvsi_synic_read(const struct hvs_hv *hv, uint32_t vp, uint32_t msr, uint64_t *value)
{
	const struct hvsi_synic *s = &hv->vp[vp];

	switch (msr) {
	case HVSI_MSR_SCONTROL:
		*value = s->scontrol;
		return 0;
	case HVSI_MSR_SVERSION:
		*value = 1;
		return 0;
	case HVSI_MSR_SIEFP:
		*value = s->siefp;
		return 0;
	case HVSI_MSR_SIMP:
		*value = s->simp;
		return 0;
	case HVSI_MSR_EOM:
		*value = 0;
		return 0;
	default:
		if (msr < HVSI_MSR_SINT0 || msr > HVSI_MSR_SINT15)
			return -ENOENT;
		*value = atomic_load(&s->sint[msr - HVSI_MSR_SINT0]);
		return 0;
	}
}

int hvsi_synic_write(struct hvs_hv *hv, uint32_t vp, uint32_t msr, uint64_t value)
{
	struct hvsi_synic *s = &hv->vp[vp];

	switch (msr) {
	case HVSI_MSR_SCONTROL:
		s->scontrol = value;
		break;
	case HVSI_MSR_SIEFP:
		s->siefp = value;
		break;
	case HVSI_MSR_SIMP:
		s->simp = value;
		break;
	case HVSI_MSR_EOM:
		break;
	default:
		if (msr < HVSI_MSR_SINT0 || msr > HVSI_MSR_SINT15)
			return -ENOENT;
		if (!hvsi_sint_valid(value))
			return -ENOENT;
		atomic_store(&s->sint[msr - HVSI_MSR_SINT0], value);
		break;
	}
	place_pages(hv, vp, true);
	return 0;
}

bool hvsi_synic_restore(struct hvs_hv *hv, uint32_t vp, uint32_t msr, uint64_t value)
{
	struct hvsi_synic *s = &hv->vp[vp];

	switch (msr) {
	case HVSI_MSR_VP_ASSIST_PAGE:
		s->vp_assist = value;
		return true;
	case HVSI_MSR_SCONTROL:
		s->scontrol = value;
		return true;
	case HVSI_MSR_SIEFP:
		s->siefp = value;
		return true;
	case HVSI_MSR_SIMP:
		s->simp = value;
		return true;
	default:
		if (msr < HVSI_MSR_SINT0 || msr > HVSI_MSR_SINT15)
			return false;
		atomic_store(&s->sint[msr - HVSI_MSR_SINT0], value);
		return true;
	}
}

/* May the SINT be delivered? Its register value through *reg. */
static bool sint_open(const struct hvs_hv *hv, const struct hvsi_synic *s, uint8_t sint,
		      uint64_t *reg)
{
	*reg = 0;
	if (hv->cfg.flags & HVS_HV_EXTERNAL_SINTS)
		return true;
	*reg = atomic_load_explicit(&s->sint[sint], memory_order_acquire);
	return !(*reg & (HVSI_SINT_MASKED | HVSI_SINT_PROXY));
}

static void interrupt(struct hvs_hv *hv, uint32_t vp, uint8_t sint, uint64_t reg)
{
	if (!(reg & HVSI_SINT_POLLING))
		hv->ops.interrupt(hv->be, vp, sint, (uint8_t)reg);
}

/* Is there a message or an event flag of this SINT that the guest has not taken? */
static bool waits(const struct hvsi_synic *s, uint8_t sint)
{
	const uint8_t HVSI_GUEST *messages =
		(const uint8_t HVSI_GUEST *)atomic_load(&s->message_page);
	const uint8_t HVSI_GUEST *flags = (const uint8_t HVSI_GUEST *)atomic_load(&s->event_page);

	if (messages && hvsi_guest_load32(messages + (size_t)sint * SLOT_BYTES))
		return true;
	for (size_t i = 0; flags && i < EVENT_FLAGS_BYTES; i += 4)
		if (hvsi_guest_load32(flags + (size_t)sint * EVENT_FLAGS_BYTES + i))
			return true;
	return false;
}

void hvsi_synic_restored(struct hvs_hv *hv, uint32_t vp)
{
	uint64_t reg;

	place_pages(hv, vp, false);
	for (uint8_t sint = 0; sint < HVSI_SINTS; sint++)
		if (waits(&hv->vp[vp], sint) && sint_open(hv, &hv->vp[vp], sint, &reg))
			interrupt(hv, vp, sint, reg);
}

static bool slot_free(const uint8_t HVSI_GUEST *slot)
{
	return hvsi_guest_load32(slot) == 0;
}

static int fill_slot(uint8_t HVSI_GUEST *slot, const struct hvs_synic_msg *msg)
{
	uint8_t bytes[SLOT_BYTES] = {0};

	if (!slot_free(slot)) {
		/*
		 * Ask for an end-of-message, then look again: the guest may have emptied the slot
		 * and read the flags before this.
		 */
		hvsi_guest_or8(slot + SLOT_FLAGS, 1);
		hvsi_guest_barrier();
		if (!slot_free(slot))
			return -EAGAIN;
	}
	bytes[SLOT_SIZE] = msg->payload_len;
	memcpy(bytes + SLOT_PAYLOAD, msg->payload, msg->payload_len);
	hvsi_guest_write(slot + SLOT_SIZE, bytes + SLOT_SIZE, SLOT_BYTES - SLOT_SIZE);
	hvsi_guest_store32(slot, msg->type);
	return 0;
}

int hvs_hv_post(struct hvs_hv *hv, uint32_t vp, uint8_t sint, const struct hvs_synic_msg *msg)
{
	struct hvsi_synic *s;
	uint8_t HVSI_GUEST *page;
	uint64_t reg;
	int err = -EAGAIN;

	if (!hv || !msg || vp >= hv->cfg.vp_count || sint >= HVSI_SINTS || !msg->type ||
	    msg->payload_len > HVS_SYNIC_MESSAGE_MAX)
		return -EINVAL;
	s = &hv->vp[vp];

	hvsi_gate_enter(&s->gate);
	page = page_of(&s->message_page);
	if (page && sint_open(hv, s, sint, &reg))
		err = fill_slot(page + (size_t)sint * SLOT_BYTES, msg);
	hvsi_gate_leave(&s->gate);

	if (!err)
		interrupt(hv, vp, sint, reg);
	return err;
}

void hvs_hv_signal(struct hvs_hv *hv, uint32_t vp, uint8_t sint, uint16_t flag)
{
	struct hvsi_synic *s;
	uint8_t HVSI_GUEST *page;
	uint64_t reg;
	bool fire = false;

	if (!hv || vp >= hv->cfg.vp_count || sint >= HVSI_SINTS || flag >= EVENT_FLAGS)
		return;
	s = &hv->vp[vp];

	hvsi_gate_enter(&s->gate);
	page = page_of(&s->event_page);
	if (page && sint_open(hv, s, sint, &reg)) {
		uint32_t bit = 1u << flag % 32;

		page += (size_t)sint * EVENT_FLAGS_BYTES + (size_t)(flag / 32) * 4;
		fire = !(hvsi_guest_or32(page, bit) & bit);
	}
	hvsi_gate_leave(&s->gate);

	if (fire)
		interrupt(hv, vp, sint, reg);
}
