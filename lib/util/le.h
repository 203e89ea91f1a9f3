/* SPDX-License-Identifier: MIT */
/*
 * Little-endian (and, for SCSI, big-endian) integers as they lie on the wire: byte arrays, so
 * that they have alignment 1 and can't be mixed with host integers by accident.
 */
#ifndef HVSI_UTIL_LE_H
#define HVSI_UTIL_LE_H

#include <stdint.h>
#include <string.h>

struct hvs_le16 {
	uint8_t b[2];
};

struct hvs_le32 {
	uint8_t b[4];
};

struct hvs_le64 {
	uint8_t b[8];
};

/* On a little-endian host, one move. Shifts would do, but gcc 12 does not always see through them. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define HVSI_LE(bits, v) (v)
#else
#define HVSI_LE(bits, v) __builtin_bswap##bits(v)
#endif

static inline uint16_t hvsi_get16(struct hvs_le16 v)
{
	uint16_t n;

	memcpy(&n, &v, sizeof(n));
	return HVSI_LE(16, n);
}

static inline uint32_t hvsi_get32(struct hvs_le32 v)
{
	uint32_t n;

	memcpy(&n, &v, sizeof(n));
	return HVSI_LE(32, n);
}

static inline uint64_t hvsi_get64(struct hvs_le64 v)
{
	uint64_t n;

	memcpy(&n, &v, sizeof(n));
	return HVSI_LE(64, n);
}

static inline struct hvs_le16 hvsi_le16(uint16_t v)
{
	const uint16_t n = HVSI_LE(16, v);
	struct hvs_le16 le;

	memcpy(&le, &n, sizeof(le));
	return le;
}

static inline struct hvs_le32 hvsi_le32(uint32_t v)
{
	const uint32_t n = HVSI_LE(32, v);
	struct hvs_le32 le;

	memcpy(&le, &n, sizeof(le));
	return le;
}

static inline struct hvs_le64 hvsi_le64(uint64_t v)
{
	const uint64_t n = HVSI_LE(64, v);
	struct hvs_le64 le;

	memcpy(&le, &n, sizeof(le));
	return le;
}

static inline uint16_t hvsi_get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t hvsi_get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t hvsi_get_be64(const uint8_t *p)
{
	return (uint64_t)hvsi_get_be32(p) << 32 | hvsi_get_be32(p + 4);
}

static inline void hvsi_put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void hvsi_put_be32(uint8_t *p, uint32_t v)
{
	hvsi_put_be16(p, (uint16_t)(v >> 16));
	hvsi_put_be16(p + 2, (uint16_t)v);
}

static inline void hvsi_put_be64(uint8_t *p, uint64_t v)
{
	hvsi_put_be32(p, (uint32_t)(v >> 32));
	hvsi_put_be32(p + 4, (uint32_t)v);
}

#endif
