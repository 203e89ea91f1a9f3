/* SPDX-License-Identifier: MIT */
/* What a guest may answer while it is frozen, and while it should not be any more. */
#include "fuzz_ic_common.h"

static const uint32_t versions[] = {0x50000, 0x40000, 0x60000};

static void configure(struct hvs_ic_config *cfg, uint8_t how)
{
	cfg->max_version = how & 1 ? 0x40000 : 0;
}

static void checked(void *f, int status, uint32_t guest_status, uint32_t flags)
{
	CHECK(status == 0 || flags == 0);
	fuzz_ic_done(f, status, guest_status);
}

static int freeze(struct fuzz_ic *f, struct input *in)
{
	static const struct hvs_vss_lun luns[HVS_VSS_MAX_LUNS];
	const struct hvs_vss_freeze_request q = {
		HVS_VSS_FREEZE_REQUEST_INIT, .timeout_ms = (uint32_t)input_number(in, 2),
		.hold_ms = (uint32_t)input_number(in, 1),
		.lun_count = (uint32_t)input_number(in, 1), .luns = luns};

	return hvs_vss_freeze(f->ic, &q, fuzz_ic_done, f);
}

static int ask(struct fuzz_ic *f, struct input *in)
{
	const struct hvs_vss_lun lun = {.lun = 1};
	const uint8_t what = (uint8_t)input_number(in, 1);
	const uint32_t timeout_ms = (uint32_t)input_number(in, 1) * 10;

	switch (what % 6) {
	case 0:
		return hvs_vss_check(f->ic, timeout_ms, checked, f);
	case 1:
		return hvs_vss_complete(f->ic, timeout_ms, fuzz_ic_done, f);
	case 2:
		return hvs_vss_auto_recover(f->ic, &lun, &lun, 1, timeout_ms, fuzz_ic_done, f);
	case 3:
		return hvs_vss_thaw(f->ic, timeout_ms, fuzz_ic_done, f);
	default:
		return freeze(f, in);
	}
}

static void look(struct fuzz_ic *f)
{
	CHECK(hvs_vss_get_state(f->ic) <= HVS_VSS_UNKNOWN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_ic_service service = {
		.kind = HVS_IC_VSS,
		.versions = versions,
		.version_count = sizeof(versions) / sizeof(versions[0]),
		.configure = configure,
		.ask = ask,
		.look = look,
	};

	return fuzz_ic_run(&service, data, size);
}
