/* SPDX-License-Identifier: MIT */
/* What a guest may answer to the steps of a file copy, in whatever order they are asked for. */
#include "fuzz_ic_common.h"

static const uint32_t versions[] = {0x10001, 0x10000};

static int start(struct fuzz_ic *f, struct input *in)
{
	char directory[200];
	char name[200];
	const struct hvs_filecopy_request q = {
		HVS_FILECOPY_REQUEST_INIT,    .flags = (uint32_t)input_number(in, 1) & 7,
		.bytes = input_number(in, 2), .timeout_ms = (uint32_t)input_number(in, 1) * 10,
		.directory = directory,       .name = name};

	directory[input_bytes(in, directory, input_number(in, 1) % sizeof(directory))] = 0;
	name[input_bytes(in, name, input_number(in, 1) % sizeof(name))] = 0;
	return hvs_filecopy_start(f->ic, &q, fuzz_ic_done, f);
}

static int ask(struct fuzz_ic *f, struct input *in)
{
	static const uint8_t data[65536];

	switch (input_number(in, 1) % 6) {
	case 0:
		return start(f, in);
	case 1:
	case 2:
		return hvs_filecopy_write(f->ic, data, input_number(in, 2), fuzz_ic_done, f);
	case 3:
		return hvs_filecopy_finish(f->ic, fuzz_ic_done, f);
	case 4:
		return hvs_filecopy_cancel(f->ic, fuzz_ic_done, f);
	default: {
		const struct hvs_filecopy_request q = {HVS_FILECOPY_REQUEST_INIT,
						       .bytes = input_number(in, 2),
						       .directory = "/srv", .name = "file"};

		return hvs_filecopy_start(f->ic, &q, fuzz_ic_done, f);
	}
	}
}

static void look(struct fuzz_ic *f)
{
	struct hvs_filecopy_progress p = {HVS_FILECOPY_PROGRESS_INIT};

	CHECK(hvs_filecopy_get_progress(f->ic, &p) == 0);
	CHECK(p.written <= p.bytes);
	if (f->has_message && f->msg.type == HVS_IC_FILECOPY && f->msg.len == 6196)
		CHECK(f->body[48] + f->body[49] * 256u <= HVS_FILECOPY_PIECE && !f->body[50]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_ic_service service = {
		.kind = HVS_IC_FILECOPY,
		.versions = versions,
		.version_count = sizeof(versions) / sizeof(versions[0]),
		.ask = ask,
		.look = look,
	};

	return fuzz_ic_run(&service, data, size);
}
