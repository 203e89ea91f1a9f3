/* SPDX-License-Identifier: MIT */
/* What a guest may answer when it is told the time. */
#include "fuzz_ic_common.h"

#include <errno.h>

static const uint32_t versions[] = {0x40000, 0x30000, 0x10000, 0x50000};

static void configure(struct hvs_ic_config *cfg, uint8_t how)
{
	cfg->interval_ms = how & 3 ? 10u * (how & 3) : 0;
	cfg->reference_time = how & 4;
	cfg->max_version = how & 8 ? 0x30000 : 0;
}

/* Each fourth time there is none. */
static int sample_time(void *arg, uint64_t *host_time, uint64_t *reference)
{
	const struct fuzz_ic *f = arg;

	*host_time = 0x1234567890abcdef;
	*reference = f->asked;
	return f->asked % 4 == 3 ? -EIO : 0;
}

static int ask(struct fuzz_ic *f, struct input *in)
{
	return hvs_timesync_sync(f->ic, (uint32_t)input_number(in, 2), fuzz_ic_done, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_ic_service service = {
		.kind = HVS_IC_TIMESYNC,
		.versions = versions,
		.version_count = sizeof(versions) / sizeof(versions[0]),
		.configure = configure,
		.sample_time = sample_time,
		.ask = ask,
	};

	return fuzz_ic_run(&service, data, size);
}
