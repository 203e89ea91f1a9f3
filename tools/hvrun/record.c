/* SPDX-License-Identifier: MIT */
#include "record.h"

#include "report.h"

#include <errno.h>
#include <hvstack/backend.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record {
	FILE *file;
	const char *path;
};

int record_open(const char *path, struct record **out)
{
	struct record *r = malloc(sizeof(*r));

	if (!r)
		return report(HVRUN_VMM_ERROR, "out of memory");
	r->path = path;
	r->file = fopen(path, "we");
	if (!r->file) {
		report(0, "--record %s: %s", path, strerror(errno));
		free(r);
		return HVRUN_USAGE;
	}
	fputs("hvrun recording 1\n", r->file);
	*out = r;
	return 0;
}

static void put_bytes(FILE *f, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++) {
		putc_unlocked(digits[bytes[i] >> 4], f);
		putc_unlocked(digits[bytes[i] & 15], f);
	}
	putc_unlocked('\n', f);
}

void record_write(struct record *record, const struct hvs_record *rec)
{
	FILE *f = record->file;

	flockfile(f);
	switch (rec->kind) {
	case HVS_RECORD_MESSAGE:
		fprintf(f, "message %" PRIx32 " ", rec->connection_id);
		put_bytes(f, rec->data, rec->len);
		break;
	case HVS_RECORD_PACKET:
		fprintf(f, "packet %" PRIx32 " ", rec->channel_id);
		put_bytes(f, rec->data, rec->len);
		break;
	case HVS_RECORD_MSR_WRITE:
		fprintf(f, "msr %" PRIx32 " %" PRIx32 " %" PRIx64 "\n", rec->vp, rec->msr,
			rec->value);
		break;
	case HVS_RECORD_HYPERCALL:
		fprintf(f, "hypercall %" PRIx32 " %" PRIx64 " %" PRIx64 " %" PRIx64 "\n", rec->vp,
			rec->value, rec->param_in, rec->param_out);
		break;
	}
	funlockfile(f);
}

void record_close(struct record *record)
{
	bool failed;

	if (!record)
		return;
	failed = ferror(record->file);
	if (fclose(record->file) || failed)
		report(0, "--record %s: could not be written", record->path);
	free(record);
}
