/* SPDX-License-Identifier: MIT */
#include "util/state.h"

#include <errno.h>

#define RECORD_VERSION 1u

/* CRC-32 (IEEE 802.3), four bits at a time. */
static uint32_t crc_add(uint32_t crc, const void *bytes, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	const uint8_t *p = bytes;

	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

uint32_t hvsi_state_crc(const void *bytes, size_t len)
{
	return crc_add(0, bytes, len);
}

/* ---- writing ---------------------------------------------------------------------------------- */

static void emit(struct hvs_state_writer *w, const void *bytes, size_t len)
{
	if (w->err || !len)
		return;
	w->crc = crc_add(w->crc, bytes, len);
	w->err = w->write(w->arg, bytes, len);
}

void hvsi_state_begin(struct hvs_state_writer *w, hvs_write_fn write, void *arg)
{
	*w = (struct hvs_state_writer){.write = write, .arg = arg};
}

void hvsi_state_put(struct hvs_state_writer *w, uint16_t type, const void *head, size_t head_len,
		    const void *tail, size_t tail_len)
{
	const struct hvsi_state_record rec = {.type = hvsi_le16(type),
					      .version = hvsi_le16(RECORD_VERSION),
					      .len = hvsi_le32((uint32_t)(head_len + tail_len))};

	emit(w, &rec, sizeof(rec));
	emit(w, head, head_len);
	emit(w, tail, tail_len);
}

int hvsi_state_end(struct hvs_state_writer *w)
{
	const struct hvs_le32 crc = hvsi_le32(w->crc);

	hvsi_state_put(w, HVSI_STATE_END, &crc, sizeof(crc), NULL, 0);
	return w->err;
}

/* ---- reading ---------------------------------------------------------------------------------- */

static bool next(struct hvsi_reader *r, struct hvsi_state_record *rec, struct hvsi_reader *payload)
{
	const uint8_t *p;

	if (!hvsi_read(r, rec, sizeof(*rec)))
		return false;
	p = hvsi_take(r, hvsi_get32(rec->len));
	if (p)
		*payload = hvsi_reader(p, hvsi_get32(rec->len));
	return p != NULL;
}

static int check_record(const struct hvsi_state_record *rec)
{
	uint16_t type = hvsi_get16(rec->type);

	if (type & HVSI_STATE_SKIPPABLE)
		return 0;
	if (type < HVSI_STATE_BUS || type > HVSI_STATE_REGISTER)
		return -ENOTSUP;
	if (!hvsi_get16(rec->version))
		return -EBADMSG;
	return hvsi_get16(rec->version) > RECORD_VERSION ? -ENOTSUP : 0;
}

int hvsi_state_open(struct hvsi_reader *records, const void *state, size_t len, uint16_t first)
{
	struct hvsi_reader r = hvsi_reader(state, len);
	struct hvsi_state_record rec;
	struct hvsi_reader payload;
	size_t before = 0;
	bool begun = false;
	struct hvs_le32 crc;
	int err = 0;

	for (; next(&r, &rec, &payload); before = len - r.left) {
		if (hvsi_get16(rec.type) == HVSI_STATE_END) {
			if (!begun || r.left || hvsi_get16(rec.version) != RECORD_VERSION ||
			    !hvsi_read(&payload, &crc, sizeof(crc)) || payload.left ||
			    hvsi_get32(crc) != hvsi_state_crc(state, before))
				return -EBADMSG;
			*records = hvsi_reader(state, before);
			return err; /* only now: what is damaged is not of a newer library */
		}
		if (!begun && hvsi_get16(rec.type) != first)
			return -EBADMSG;
		begun = true;
		if (!err)
			err = check_record(&rec);
	}
	return -EBADMSG;
}

bool hvsi_state_next(struct hvsi_reader *records, uint16_t *type, struct hvsi_reader *payload)
{
	struct hvsi_state_record rec;

	do {
		if (!next(records, &rec, payload))
			return false;
		*type = hvsi_get16(rec.type);
	} while (*type & HVSI_STATE_SKIPPABLE);
	return true;
}
