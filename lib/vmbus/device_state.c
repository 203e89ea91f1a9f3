/* SPDX-License-Identifier: MIT */
/* How a device saves what it has to remember, and reads it again: DATA records as one stream. */
#include "util/state.h"

#include <errno.h>

int hvs_state_put(struct hvs_state_writer *w, const void *bytes, size_t len)
{
	if (len > UINT32_MAX)
		return -EINVAL;
	hvsi_state_put(w, HVSI_STATE_DATA, bytes, len, NULL, 0);
	return w->err;
}

int hvs_state_get(struct hvs_state_reader *r, void *bytes, size_t len)
{
	struct hvs_state_reader old = *r;
	uint8_t *to = bytes;

	while (len) {
		size_t part = len < r->payload.left ? len : r->payload.left;
		struct hvsi_reader records;
		uint16_t type;

		if (part)
			(void)hvsi_read(&r->payload, to, part);
		to += part;
		len -= part;
		if (!len)
			break;
		records = r->records;
		if (!hvsi_state_next(&records, &type, &r->payload) || type != HVSI_STATE_DATA) {
			*r = old;
			return -EBADMSG;
		}
		r->records = records;
	}
	return 0;
}
