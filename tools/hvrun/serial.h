/* SPDX-License-Identifier: MIT */
/* COM1, a 16550A. */
#ifndef HVRUN_SERIAL_H
#define HVRUN_SERIAL_H

#include <stddef.h>
#include <stdint.h>

struct console;
struct ports;
struct serial;

#define SERIAL_PORT 0x3f8u
#define SERIAL_IRQ 4u

/* vm_fd is used to raise SERIAL_IRQ; output goes to console. */
int serial_create(struct serial **out, int vm_fd, struct console *console, struct ports *ports);
void serial_destroy(struct serial *serial); /* NULL is allowed */

/*
 * Give the guest len bytes of input. Returns how many were taken; if not all, the console hears
 * console_input_room() when there is room again. Any thread.
 */
size_t serial_receive(struct serial *serial, const uint8_t *bytes, size_t len);

#endif
