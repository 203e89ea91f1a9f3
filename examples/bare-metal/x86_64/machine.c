/* SPDX-License-Identifier: MIT */
/* A PC: first serial port, and QEMU's isa-debug-exit at port 0xf4. */
#include "../runtime.h"

#define COM1 0x3f8u

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

void machine_put(char c)
{
	while (!(in8(COM1 + 5) & 0x20))
		;
	out8(COM1, (uint8_t)c);
}

void machine_exit(int failed)
{
	out8(0xf4, failed ? 0x11 : 0x10); /* QEMU's status: 2n + 1 */
	for (;;)
		__asm__ volatile("hlt");
}
