/* SPDX-License-Identifier: MIT */
/* Saved state of the hypervisor interface: its registers, whoever keeps them. */
#include "hv/msr_numbers.h"
#include "hv/state.h"
#include "util/state.h"

#include <errno.h>

struct state_hv {
	struct hvs_le32 vp_count;
	struct hvs_le32 long_mode; /* 1: the hypercall page was placed by a VP in 64-bit mode */
};
_Static_assert(sizeof(struct state_hv) == 8, "saved state: HV");

struct state_register {
	struct hvs_le32 vp; /* partition-wide registers: 0 */
	struct hvs_le32 msr;
	struct hvs_le64 value;
};
_Static_assert(sizeof(struct state_register) == 16, "saved state: REGISTER");

/* In the order in which they are set: no page without an OS, time before the page that tells it. */
static const uint32_t partition_registers[] = {
	HVSI_MSR_GUEST_OS_ID,   HVSI_MSR_HYPERCALL, HVSI_MSR_TIME_REF_COUNT, HVSI_MSR_REFERENCE_TSC,
	HVSI_MSR_TSC_INVARIANT, HVSI_MSR_CRASH_P0,  HVSI_MSR_CRASH_P0 + 1,   HVSI_MSR_CRASH_P0 + 2,
	HVSI_MSR_CRASH_P0 + 3,  HVSI_MSR_CRASH_P4,
};

static const uint32_t vp_registers[] = {
	HVSI_MSR_VP_ASSIST_PAGE, HVSI_MSR_SCONTROL,   HVSI_MSR_SIEFP,      HVSI_MSR_SIMP,
	HVSI_MSR_SINT0,          HVSI_MSR_SINT0 + 1,  HVSI_MSR_SINT0 + 2,  HVSI_MSR_SINT0 + 3,
	HVSI_MSR_SINT0 + 4,      HVSI_MSR_SINT0 + 5,  HVSI_MSR_SINT0 + 6,  HVSI_MSR_SINT0 + 7,
	HVSI_MSR_SINT0 + 8,      HVSI_MSR_SINT0 + 9,  HVSI_MSR_SINT0 + 10, HVSI_MSR_SINT0 + 11,
	HVSI_MSR_SINT0 + 12,     HVSI_MSR_SINT0 + 13, HVSI_MSR_SINT0 + 14, HVSI_MSR_SINT15,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool external(const struct hvs_hv *hv)
{
	return hv->cfg.flags & HVS_HV_EXTERNAL_SINTS;
}

static bool able(const struct hvs_hv *hv)
{
	return !external(hv) || (hv->ops.get_register && hv->ops.set_register);
}

static void put_registers(struct hvs_hv *hv, struct hvs_state_writer *w, uint32_t vp,
			  const uint32_t *msr, size_t count)
{
	for (size_t i = 0; i < count && !w->err; i++) {
		struct state_register reg = {.vp = hvsi_le32(vp), .msr = hvsi_le32(msr[i])};
		uint64_t value;
		int err;

		if (external(hv))
			err = hv->ops.get_register(hv->be, vp, msr[i], &value);
		else
			err = hvs_hv_msr_read(hv, vp, msr[i], &value);
		if (err == -ENOENT)
			continue;
		if (err) {
			w->err = err;
			return;
		}
		reg.value = hvsi_le64(value);
		hvsi_state_put(w, HVSI_STATE_REGISTER, &reg, sizeof(reg), NULL, 0);
	}
}

int hvs_hv_save(struct hvs_hv *hv, hvs_write_fn write, void *arg)
{
	struct hvs_state_writer w;
	struct state_hv head;

	if (!hv || !write || !able(hv))
		return -EINVAL;
	head = (struct state_hv){.vp_count = hvsi_le32(hv->cfg.vp_count),
				 .long_mode = hvsi_le32(hv->hypercall_long_mode)};
	hvsi_state_begin(&w, write, arg);
	hvsi_state_put(&w, HVSI_STATE_HV, &head, sizeof(head), NULL, 0);
	put_registers(hv, &w, 0, partition_registers, COUNT(partition_registers));
	for (uint32_t vp = 0; vp < hv->cfg.vp_count; vp++)
		put_registers(hv, &w, vp, vp_registers, COUNT(vp_registers));
	return hvsi_state_end(&w);
}

/* ---- restore ---------------------------------------------------------------------------------- */

static bool listed(const uint32_t *list, size_t count, uint32_t msr)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == msr)
			return true;
	return false;
}

static bool is_partition_register(uint32_t msr)
{
	return listed(partition_registers, COUNT(partition_registers), msr);
}

/* All records, before any is applied. */
static int check(const struct hvs_hv *hv, struct hvsi_reader records, bool *long_mode)
{
	struct hvsi_reader payload;
	struct state_register reg;
	struct state_hv head;
	uint16_t type;

	if (!hvsi_state_next(&records, &type, &payload) ||
	    !hvsi_read(&payload, &head, sizeof(head)) || hvsi_get32(head.long_mode) > 1)
		return -EBADMSG;
	if (hvsi_get32(head.vp_count) != hv->cfg.vp_count)
		return -ENOTSUP;
	*long_mode = hvsi_get32(head.long_mode);
	while (hvsi_state_next(&records, &type, &payload)) {
		uint32_t vp;
		uint32_t msr;

		if (type != HVSI_STATE_REGISTER || !hvsi_read(&payload, &reg, sizeof(reg)))
			return -EBADMSG;
		vp = hvsi_get32(reg.vp);
		msr = hvsi_get32(reg.msr);
		if (is_partition_register(msr)
			    ? vp != 0
			    : vp >= hv->cfg.vp_count ||
				      !listed(vp_registers, COUNT(vp_registers), msr))
			return -EBADMSG;
		if (msr >= HVSI_MSR_SINT0 && msr <= HVSI_MSR_SINT15 &&
		    !hvsi_sint_valid(hvsi_get64(reg.value)))
			return -EBADMSG;
	}
	return 0;
}

static int apply(struct hvs_hv *hv, uint32_t vp, uint32_t msr, uint64_t value)
{
	int err;

	if (external(hv)) {
		hvsi_synic_restore(hv, vp, msr, value);
		err = hv->ops.set_register(hv->be, vp, msr, value);
		return err == -ENOENT ? 0 : err;
	}
	if (!hvsi_synic_restore(hv, vp, msr, value))
		hvsi_msr_restore(hv, msr, value);
	return 0;
}

int hvs_hv_restore(struct hvs_hv *hv, const void *state, size_t len)
{
	struct hvsi_reader records;
	struct hvsi_reader payload;
	bool long_mode;
	uint16_t type;
	int err;

	if (!hv || !state || !able(hv))
		return -EINVAL;
	err = hvsi_state_open(&records, state, len, HVSI_STATE_HV);
	if (!err)
		err = check(hv, records, &long_mode);
	if (err)
		return err;
	hvs_hv_reset(hv);
	hv->hypercall_long_mode = long_mode;
	(void)hvsi_state_next(&records, &type, &payload);
	while (!err && hvsi_state_next(&records, &type, &payload)) {
		struct state_register reg;

		(void)hvsi_read(&payload, &reg, sizeof(reg));
		err = apply(hv, hvsi_get32(reg.vp), hvsi_get32(reg.msr), hvsi_get64(reg.value));
	}
	for (uint32_t vp = 0; vp < hv->cfg.vp_count; vp++)
		hvsi_synic_restored(hv, vp);
	return err;
}
