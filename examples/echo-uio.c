/* SPDX-License-Identifier: MIT */
/*
 * A program in a Linux guest that uses the echo device of echo-vsp.c: it gets the channel's memory from
 * uio_hv_generic, sends packets of all sizes, and checks what comes back. As root:
 *
 *     modprobe uio_hv_generic
 *     echo 6f686365-7327-6320-6c61-737320696400 > /sys/bus/vmbus/drivers/uio_hv_generic/new_id
 *     ./echo-uio 4000
 */
#include "uio-ring.h"

#include <stdlib.h>

/* The instance id, as Linux writes GUIDs; that above is the class id. */
#define DEVICE "/sys/bus/vmbus/devices/6f686365-6920-736e-7461-6e6365203000"

/* Half a ring, if a packet can be that large: small ones, mostly. */
static uint32_t size_of(uint32_t packet)
{
	const uint32_t largest = ring_bytes / 2 < RING_LARGEST ? ring_bytes / 2 : RING_LARGEST;
	const uint32_t random = packet * 2654435761u;

	if (packet % 500 < 2)
		return packet % 500 ? 1 : largest;
	return 1 + random % largest % (1u << (random >> 24) % 20);
}

int main(int argc, char **argv)
{
	const uint32_t count = argc > 1 ? (uint32_t)atoi(argv[1]) : 4000;
	static uint8_t bytes[2 * RING_LARGEST],
		got[RING_LARGEST]; /* a packet is a piece of bytes */
	uint32_t sent = 0, back = 0;
	struct header h;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)rand();
	open_device(DEVICE);
	while (back < count) {
		while (sent < count && ring_send(sent, bytes + sent % RING_LARGEST, size_of(sent)))
			sent++;
		if (!ring_receive(&h, got)) {
			if (back < sent)
				wait_for_host();
			continue;
		}
		if (h.type != 11 || h.xid != back ||
		    memcmp(got, bytes + back % RING_LARGEST, size_of(back)) != 0)
			errx(1, "packet %u came back wrong", back);
		back++;
	}
	printf("%u packets of 1 to %u bytes came back\n", count, size_of(0));
	return 0;
}
