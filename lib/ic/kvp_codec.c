/* SPDX-License-Identifier: MIT */
/* Pairs, as they are on the wire. */
#include "ic/kvp.h"

#include "util/inet.h"
#include "util/utf16.h"

#include <errno.h>

/* Returns the length in bytes with the NUL, which is there already, or -EINVAL. */
static int64_t write_text(const char *text, uint8_t *to, uint32_t max_units)
{
	const int64_t units = hvsi_utf16_from_utf8(text, to, max_units);

	return units < 0 ? -EINVAL : (units + 1) * 2;
}

static int write_delete(struct hvsi_kvp_delete *d, const char *key)
{
	const int64_t bytes = write_text(key, d->key, HVS_KVP_KEY_MAX);

	if (bytes < 0)
		return -EINVAL;
	d->key_bytes = hvsi_le32((uint32_t)bytes);
	return 0;
}

static int write_value(struct hvsi_kvp_value *v, const char *key, const char *value)
{
	const int64_t key_bytes = write_text(key, v->key, HVS_KVP_KEY_MAX);
	const int64_t value_bytes = value ? write_text(value, v->value, HVS_KVP_VALUE_MAX) : 0;

	if (key_bytes < 0 || value_bytes < 0)
		return -EINVAL;
	/* Numbers are not for guests: Linux stores nothing for some of them. */
	v->type = hvsi_le32(HVSI_KVP_STRING);
	v->key_bytes = hvsi_le32((uint32_t)key_bytes);
	v->value_bytes = hvsi_le32((uint32_t)value_bytes);
	return 0;
}

int hvsi_kvp_write(struct hvsi_kvp_pair_message *m, enum hvsi_kvp_op op, enum hvs_kvp_pool pool,
		   const char *key, const char *value)
{
	memset(m, 0, sizeof(*m));
	m->op = (uint8_t)op;
	m->pool = (uint8_t)pool;
	if (op == HVSI_KVP_ENUMERATE)
		return 0;
	if (!*key)
		return -EINVAL;
	return op == HVSI_KVP_DELETE ? write_delete(&m->u.delete, key)
				     : write_value(&m->u.value, key, value);
}

/* ---- answers --------------------------------------------------------------------------------- */

/* Is that a string of whole units with a NUL at the end? */
static bool terminated(const uint8_t *text, uint32_t bytes)
{
	return bytes >= 2 && bytes % 2 == 0 && !text[bytes - 2] && !text[bytes - 1];
}

static bool read_string(const uint8_t *value, uint32_t bytes, char *to)
{
	if (bytes && !terminated(value, bytes))
		return false;
	(void)hvsi_utf16_to_utf8(value, bytes / 2, to, HVS_KVP_TEXT_MAX);
	return true;
}

static bool read_number(const uint8_t *value, uint32_t bytes, uint32_t size, char *to)
{
	struct hvs_le64 n = {{0}};

	if (bytes != size)
		return false;
	memcpy(&n, value, size);
	to[hvsi_decimal(hvsi_get64(n), to)] = '\0';
	return true;
}

static bool read_value(uint32_t type, const uint8_t *value, uint32_t bytes, char *to)
{
	switch (type) {
	case HVSI_KVP_STRING:
	case HVSI_KVP_EXPANDABLE:
		return read_string(value, bytes, to);
	case HVSI_KVP_U32:
		return read_number(value, bytes, 4, to);
	case HVSI_KVP_U64_UNIX:
	case HVSI_KVP_U64:
		return read_number(value, bytes, 8, to);
	default:
		return false;
	}
}

enum hvsi_kvp_read hvsi_kvp_read(const uint8_t *body, uint32_t len, struct hvsi_kvp_pair *pair)
{
	struct hvsi_kvp_value v = {0};
	uint32_t key_bytes;
	uint32_t value_bytes;

	if (len > sizeof(v))
		len = sizeof(v);
	memcpy(&v, body, len);
	key_bytes = hvsi_get32(v.key_bytes);
	value_bytes = hvsi_get32(v.value_bytes);
	if (key_bytes <= 2 || !(v.key[0] | v.key[1]))
		return HVSI_KVP_NO_KEY;
	if (key_bytes > sizeof(v.key) || value_bytes > sizeof(v.value) ||
	    len < offsetof(struct hvsi_kvp_value, value) + value_bytes ||
	    !terminated(v.key, key_bytes))
		return HVSI_KVP_BAD;
	(void)hvsi_utf16_to_utf8(v.key, key_bytes / 2, pair->key, sizeof(pair->key));
	return read_value(hvsi_get32(v.type), v.value, value_bytes, pair->value) ? HVSI_KVP_OK
										 : HVSI_KVP_BAD;
}
