/* SPDX-License-Identifier: MIT */
/* Hypercalls: decode the input value, fetch the parameters once, hand them on (TLFS 3). */
#include "hv/state.h"
#include "util/le.h"

#define CALL_POST_MESSAGE 0x5cu
#define CALL_SIGNAL_EVENT 0x5du
#define INPUT_FAST (1ull << 16)
/* Everything but call code and fast bit: our calls have no variable header and no repetition. */
#define INPUT_UNUSED (~(uint64_t)0x1ffff)

/* HvPostMessage input (TLFS 11.11.1) */
struct post_message_input {
	struct hvs_le32 connection_id;
	struct hvs_le32 reserved;
	struct hvs_le32 message_type;
	struct hvs_le32 payload_size;
	uint8_t payload[HVS_SYNIC_MESSAGE_MAX];
};
_Static_assert(sizeof(struct post_message_input) == 256, "TLFS: 256-byte block");

/* HvSignalEvent input (TLFS 11.11.2) */
struct signal_event_input {
	struct hvs_le32 connection_id;
	struct hvs_le16 flag;
	struct hvs_le16 reserved;
};
_Static_assert(sizeof(struct signal_event_input) == 8, "TLFS: 8-byte block");

/* Parameter block: 8-byte aligned and inside one page. */
static uint16_t fetch(const struct hvs_hv *hv, uint64_t gpa, void *to, size_t len)
{
	const uint8_t HVSI_GUEST *p;

	if (gpa % 8 || gpa % HVSI_PAGE + len > HVSI_PAGE)
		return HVS_HV_STATUS_INVALID_ALIGNMENT;
	p = hvsi_mem_range(hv->mem, gpa, len, HVS_READ);
	if (!p)
		return HVS_HV_STATUS_INSUFFICIENT_MEMORY;
	hvsi_guest_read(to, p, len);
	return HVS_HV_STATUS_SUCCESS;
}

static uint16_t post_message(struct hvs_hv *hv, bool fast, uint64_t param_in)
{
	struct post_message_input in;
	uint16_t status;

	if (fast)
		return HVS_HV_STATUS_INVALID_HYPERCALL_CODE;
	status = fetch(hv, param_in, &in, sizeof(in));
	if (status)
		return status;
	if (hvsi_get32(in.payload_size) > sizeof(in.payload))
		return HVS_HV_STATUS_INVALID_HYPERCALL_INPUT;
	return hv->ops.post_message(hv->be, hvsi_get32(in.connection_id),
				    hvsi_get32(in.message_type), in.payload,
				    hvsi_get32(in.payload_size));
}

static uint16_t signal_event(struct hvs_hv *hv, bool fast, uint64_t param_in)
{
	struct signal_event_input in;

	if (fast) {
		in.connection_id = hvsi_le32((uint32_t)param_in);
		in.flag = hvsi_le16((uint16_t)(param_in >> 32));
		in.reserved = hvsi_le16((uint16_t)(param_in >> 48));
	} else {
		uint16_t status = fetch(hv, param_in, &in, sizeof(in));

		if (status)
			return status;
	}
	if (hvsi_get16(in.reserved))
		return HVS_HV_STATUS_INVALID_HYPERCALL_INPUT;
	return hv->ops.signal_event(hv->be, hvsi_get32(in.connection_id), hvsi_get16(in.flag));
}

uint64_t hvs_hv_hypercall(struct hvs_hv *hv, uint32_t vp, uint64_t input, uint64_t param_in,
			  uint64_t param_out)
{
	if (!hv || vp >= hv->cfg.vp_count)
		return HVS_HV_STATUS_INVALID_HYPERCALL_INPUT;
	/* Neither call returns data: this is all that looks at param_out. */
	if (hv->ops.record)
		hv->ops.record(hv->be, &(struct hvs_record){.kind = HVS_RECORD_HYPERCALL,
							    .vp = vp,
							    .value = input,
							    .param_in = param_in,
							    .param_out = param_out});
	if (input & INPUT_UNUSED)
		return HVS_HV_STATUS_INVALID_HYPERCALL_INPUT;
	switch (input & 0xffff) {
	case CALL_POST_MESSAGE:
		return post_message(hv, input & INPUT_FAST, param_in);
	case CALL_SIGNAL_EVENT:
		return signal_event(hv, input & INPUT_FAST, param_in);
	default:
		return HVS_HV_STATUS_INVALID_HYPERCALL_CODE;
	}
}
