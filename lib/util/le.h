/* SPDX-License-Identifier: MIT */
/*
 * Little-endian (and, for SCSI, big-endian) integers as they lie on the wire: byte arrays, so
 * that they have alignment 1 and can't be mixed with host integers by accident.
 */
#ifndef HVSI_UTIL_LE_H
#define HVSI_UTIL_LE_H

#include <stdint.h>

struct hvs_le16 {
	uint8_t b[2];
};

struct hvs_le32 {
	uint8_t b[4];
};

struct hvs_le64 {
	uint8_t b[8];
};

static inline uint16_t hvsi_get16(struct hvs_le16 v)
{
	return (uint16_t)(v.b[0] | v.b[1] << 8);
}

static inline uint32_t hvsi_get32(struct hvs_le32 v)
{
	return (uint32_t)v.b[0] | (uint32_t)v.b[1] << 8 | (uint32_t)v.b[2] << 16 |
	       (uint32_t)v.b[3] << 24;
}

static inline uint64_t hvsi_get64(struct hvs_le64 v)
{
	return (uint64_t)v.b[0] | (uint64_t)v.b[1] << 8 | (uint64_t)v.b[2] << 16 |
	       (uint64_t)v.b[3] << 24 | (uint64_t)v.b[4] << 32 | (uint64_t)v.b[5] << 40 |
	       (uint64_t)v.b[6] << 48 | (uint64_t)v.b[7] << 56;
}

static inline struct hvs_le16 hvsi_le16(uint16_t v)
{
	return (struct hvs_le16){{(uint8_t)v, (uint8_t)(v >> 8)}};
}

static inline struct hvs_le32 hvsi_le32(uint32_t v)
{
	return (struct hvs_le32){
		{(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)}};
}

static inline struct hvs_le64 hvsi_le64(uint64_t v)
{
	return (struct hvs_le64){{(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
				  (uint8_t)(v >> 24), (uint8_t)(v >> 32), (uint8_t)(v >> 40),
				  (uint8_t)(v >> 48), (uint8_t)(v >> 56)}};
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
