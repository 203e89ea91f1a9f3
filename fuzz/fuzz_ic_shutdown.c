/* SPDX-License-Identifier: MIT */
/* What a guest may answer when it is asked to shut down, and what texts may be sent to it. */
#include "fuzz_ic_common.h"

static const uint32_t versions[] = {0x30002, 0x30001, 0x30000, 0x10000, 0x30003};

static void configure(struct hvs_ic_config *cfg, uint8_t how)
{
	static const uint32_t newest[] = {0, 0x10000, 0x30000, 0x30001};

	cfg->max_version = newest[how & 3];
}

static int ask(struct fuzz_ic *f, struct input *in)
{
	char reason[64];
	const uint8_t how = (uint8_t)input_number(in, 1);
	const struct hvs_shutdown_request q = {
		HVS_SHUTDOWN_REQUEST_INIT, .action = (enum hvs_shutdown_action)(how & 3),
		.force = how & 4, .timeout_ms = (uint32_t)input_number(in, 2),
		.reason = how & 8 ? reason : NULL};

	reason[input_bytes(in, reason, how & 8 ? sizeof(reason) - 1 : 0)] = 0;
	return hvs_shutdown(f->ic, &q, fuzz_ic_done, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_ic_service service = {
		.kind = HVS_IC_SHUTDOWN,
		.versions = versions,
		.version_count = sizeof(versions) / sizeof(versions[0]),
		.configure = configure,
		.ask = ask,
	};

	return fuzz_ic_run(&service, data, size);
}
