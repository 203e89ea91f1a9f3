/* SPDX-License-Identifier: MIT */
/* The host end of the serial line: standard output, and standard input if asked for. */
#ifndef HVRUN_CONSOLE_H
#define HVRUN_CONSOLE_H

#include <stdint.h>

struct console;
struct event_base;
struct machine;
struct serial;

int console_create(struct console **out, struct machine *machine, struct event_base *base);

/* Restores the terminal and prints what is left. NULL is allowed. */
void console_destroy(struct console *console);

/* Feed standard input to serial, through base; if it is a terminal, it becomes raw. */
int console_connect_input(struct console *console, struct serial *serial);

/*
 * Print a byte: at once when it ends a line, else soon. Blocks when standard output does, until
 * the machine is stopping and a signal comes. vCPU threads.
 */
void console_put(struct console *console, uint8_t byte);

/* The serial line can take input again. vCPU threads. */
void console_input_room(struct console *console);

#endif
