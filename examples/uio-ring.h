/* SPDX-License-Identifier: MIT */
/* A program's end of a VMBus channel that Linux's uio_hv_generic has: its rings, and how to wait. */
#ifndef EXAMPLES_UIO_RING_H
#define EXAMPLES_UIO_RING_H

#include <err.h>
#include <fcntl.h>
#include <glob.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define RING_LARGEST (65535u * 8 - 16) /* bytes that a packet can carry */

struct ring {
	uint32_t write;   /* where in data the next packet will begin; the sender's */
	uint32_t read;    /* where the oldest one begins; the receiver's */
	uint32_t mask;    /* 1: the receiver looks by itself; the receiver's */
	uint32_t pending; /* the sender waits for so much room, 0: it does not; the sender's */
	uint8_t reserved[PAGE - 16];
	uint8_t data[];
};

struct header {
	uint16_t type;  /* 6: data, 11: completion */
	uint16_t start; /* of the payload; both in units of 8 bytes, from here */
	uint16_t end;
	uint16_t flags; /* 1: to be completed */
	uint64_t xid;
};

static int uio;
static struct ring *tx, *rx;
static uint32_t ring_bytes;     /* of data, each */
static uint32_t *monitor_group; /* a bit set in it signals the host */
static uint32_t monitor_bit;

static uint32_t load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static uint32_t put(uint32_t at, const void *from, uint32_t len)
{
	const uint32_t first = len < ring_bytes - at ? len : ring_bytes - at;

	memcpy(tx->data + at, from, first);
	memcpy(tx->data, (const uint8_t *)from + first, len - first);
	return (at + len) % ring_bytes;
}

static uint32_t get(uint32_t at, void *to, uint32_t len)
{
	const uint32_t first = len < ring_bytes - at ? len : ring_bytes - at;

	memcpy(to, rx->data + at, first);
	memcpy((uint8_t *)to + first, rx->data, len - first);
	return (at + len) % ring_bytes;
}

/* False: there is no room. */
static bool ring_send(uint64_t xid, const void *data, uint32_t len)
{
	const uint32_t padded = (len + 7) / 8 * 8;
	const struct header h = {6, 2, (uint16_t)(2 + padded / 8), 1, xid};
	const uint64_t trailer = (uint64_t)tx->write << 32;
	const uint32_t used = (tx->write + ring_bytes - load(&tx->read)) % ring_bytes;
	uint32_t at;

	if (used + sizeof(h) + padded + sizeof(trailer) >= ring_bytes)
		return false;
	at = put(put(tx->write, &h, sizeof(h)), data, padded);
	at = put(at, &trailer, sizeof(trailer));
	__atomic_store_n(&tx->write, at, __ATOMIC_SEQ_CST);
	if (!load(&tx->mask))
		__atomic_fetch_or(monitor_group, monitor_bit, __ATOMIC_SEQ_CST);
	return true;
}

/* False: there is none. data: room for RING_LARGEST bytes. */
static bool ring_receive(struct header *h, void *data)
{
	uint32_t at = rx->read;

	if (at == load(&rx->write))
		return false;
	at = get(at, h, sizeof(*h));
	at = get(at, data, (h->end - h->start) * 8u);
	__atomic_store_n(&rx->read, (at + 8) % ring_bytes, __ATOMIC_SEQ_CST); /* 8: the trailer */
	if (load(&rx->pending))
		__atomic_fetch_or(monitor_group, monitor_bit, __ATOMIC_SEQ_CST);
	return true;
}

static void wait_for_host(void)
{
	const int32_t on = 1; /* rx->mask becomes 0; the driver sets it when an interrupt comes */
	int32_t count;

	if (write(uio, &on, sizeof(on)) < 0 ||
	    (rx->read == load(&rx->write) && read(uio, &count, sizeof(count)) < 0))
		err(1, "/dev/uio");
}

static unsigned number_in(const char *dir, const char *file)
{
	unsigned number = 0;
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%i", (int *)&number) != 1)
		err(1, "%s", path);
	fclose(f);
	return number;
}

/* device: its folder in /sys/bus/vmbus/devices */
static void open_device(const char *device)
{
	const unsigned monitor = number_in(device, "monitor_id");
	uint8_t *rings, *page;
	char path[256];
	glob_t found;
	size_t len;

	snprintf(path, sizeof(path), "%s/uio/uio*", device);
	if (glob(path, 0, NULL, &found) != 0)
		errx(1, "uio_hv_generic does not have the device");
	snprintf(path, sizeof(path), "/dev%s", strrchr(found.gl_pathv[0], '/'));
	len = number_in(found.gl_pathv[0], "maps/map0/size");
	uio = open(path, O_RDWR); /* opens the channel */
	rings = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, uio, 0);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, uio, 2 * PAGE); /* map 2 */
	if (rings == MAP_FAILED || page == MAP_FAILED)
		err(1, "%s", path);
	tx = (struct ring *)rings;
	rx = (struct ring *)(rings + len / 2);
	ring_bytes = (uint32_t)(len / 2 - PAGE);
	monitor_group = (uint32_t *)(page + 8 + monitor / 32 * 8);
	monitor_bit = 1u << monitor % 32;
}

#endif
