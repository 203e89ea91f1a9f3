/* SPDX-License-Identifier: MIT */
/* What a guest may answer to heartbeats. */
#include "fuzz_ic_common.h"

static const uint32_t versions[] = {0x30000, 0x10000, 0x20000, 0};

static void configure(struct hvs_ic_config *cfg, uint8_t how)
{
	cfg->interval_ms = how & 3 ? 10u * (how & 3) : 0;
	cfg->error_threshold = how >> 2 & 3;
	cfg->max_version = how & 0x10 ? 0x10000 : 0;
}

static uint32_t answer(struct fuzz_ic *f, struct input *in, uint8_t *body, uint32_t len)
{
	(void)f;
	body[0]++;
	body[8] = (uint8_t)input_number(in, 1);
	return len;
}

static void look(struct fuzz_ic *f)
{
	struct hvs_heartbeat_info info = {HVS_HEARTBEAT_INFO_INIT};
	struct hvs_ic_status s = {HVS_IC_STATUS_INIT};

	CHECK(hvs_heartbeat_get_info(f->ic, &info) == 0);
	CHECK(hvs_ic_get_status(f->ic, &s) == 0);
	CHECK(info.application <= HVS_HEARTBEAT_STOPPED);
	CHECK(!info.beats || (s.ready && info.last_beat_ns));
	CHECK(s.primary != HVS_IC_OK || info.beats);
	CHECK(s.waiting <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_ic_service service = {
		.kind = HVS_IC_HEARTBEAT,
		.versions = versions,
		.version_count = sizeof(versions) / sizeof(versions[0]),
		.configure = configure,
		.answer = answer,
		.look = look,
	};

	return fuzz_ic_run(&service, data, size);
}
