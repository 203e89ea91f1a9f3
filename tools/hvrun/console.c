/* SPDX-License-Identifier: MIT */
/*
 * Output is collected into lines: a vCPU thread writes whole lines, and the I/O thread what
 * stands there unfinished (a prompt) after 10 ms. The I/O thread never blocks on output.
 *
 * Input is read by the I/O thread only when the guest has taken the last.
 */
#include "console.h"

#include "machine.h"
#include "report.h"
#include "serial.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <unistd.h>

#define PROMPT_DELAY_NS 10000000L
#define CTRL_A 0x01
/* No more than a pipe that polls writable takes without blocking (PIPE_BUF). */
#define LINE_BYTES 1024u

struct console {
	struct machine *machine;
	struct event_base *base;
	int prompt_fd; /* timerfd */
	int room_fd;   /* eventfd */
	struct event *prompt_event;
	struct event *stdin_event; /* NULL without input */
	struct event *room_event;  /* likewise */

	pthread_mutex_t out_lock; /* of the next three */
	uint8_t line[LINE_BYTES];
	size_t line_len;
	bool prompt_armed;

	struct serial *serial; /* from here on: I/O thread only */
	uint8_t input[32];
	size_t input_len;
	bool escape; /* last input was Ctrl-A */
	bool raw;
	struct termios saved;
};

/*
 * Standard output may be non-blocking: whoever gave it to us may have made it so. When the machine
 * is stopping, what can't be written at once is kept for console_destroy().
 */
static void flush_line(struct console *c)
{
	size_t done = 0;

	while (done < c->line_len) {
		const ssize_t n = write(STDOUT_FILENO, c->line + done, c->line_len - done);

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (errno == EAGAIN)
			poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, 100);
		else if (errno != EINTR)
			done = c->line_len; /* nobody reads any more: drop it, the guest runs on */
		if (machine_stopping(c->machine))
			break;
	}
	c->line_len -= done;
	memmove(c->line, c->line + done, c->line_len);
}

static void arm_prompt_timer(struct console *c)
{
	const struct itimerspec delay = {.it_value.tv_nsec = PROMPT_DELAY_NS};

	timerfd_settime(c->prompt_fd, 0, &delay, NULL);
}

static bool can_write(int timeout_ms)
{
	struct pollfd pfd = {.fd = STDOUT_FILENO, .events = POLLOUT};

	return poll(&pfd, 1, timeout_ms) > 0;
}

void console_put(struct console *console, uint8_t byte)
{
	pthread_mutex_lock(&console->out_lock);
	if (console->line_len < LINE_BYTES) /* full only when stopping */
		console->line[console->line_len++] = byte;
	if (byte == '\n' || console->line_len == LINE_BYTES) {
		flush_line(console);
	} else if (!console->prompt_armed) {
		console->prompt_armed = true;
		arm_prompt_timer(console);
	}
	pthread_mutex_unlock(&console->out_lock);
}

static void on_prompt_timer(evutil_socket_t fd, short what, void *arg)
{
	struct console *c = arg;
	uint64_t ticks;

	(void)what;
	if (read((int)fd, &ticks, sizeof(ticks)) < 0)
		return;
	if (pthread_mutex_trylock(&c->out_lock) != 0) {
		arm_prompt_timer(c); /* a vCPU is just printing, and may block */
		return;
	}
	c->prompt_armed = false;
	if (c->line_len > 0 && can_write(0)) {
		flush_line(c);
	} else if (c->line_len > 0) {
		c->prompt_armed = true;
		arm_prompt_timer(c);
	}
	pthread_mutex_unlock(&c->out_lock);
}

void console_input_room(struct console *console)
{
	const uint64_t one = 1;

	if (write(console->room_fd, &one, sizeof(one)) < 0)
		report(HVRUN_VMM_ERROR, "console: %s", strerror(errno));
}

/* Take out the escapes; returns what is left of the bytes. */
static size_t filter_escapes(struct console *c, uint8_t *bytes, size_t len)
{
	size_t kept = 0;

	for (size_t i = 0; i < len; i++) {
		const uint8_t byte = bytes[i];

		if (byte == CTRL_A && !c->escape) {
			c->escape = true;
			continue;
		}
		if (c->escape && byte == 'x')
			machine_stop(c->machine, HVRUN_STOPPED);
		else
			bytes[kept++] = byte;
		c->escape = false;
	}
	return kept;
}

static void send_input(struct console *c)
{
	const size_t taken = serial_receive(c->serial, c->input, c->input_len);

	c->input_len -= taken;
	memmove(c->input, c->input + taken, c->input_len);
	if (c->input_len == 0)
		event_add(c->stdin_event, NULL);
}

static void on_room(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what;
	if (read((int)fd, &count, sizeof(count)) > 0)
		send_input(arg);
}

static void on_stdin(evutil_socket_t fd, short what, void *arg)
{
	struct console *c = arg;
	const ssize_t n = read((int)fd, c->input, sizeof(c->input));

	(void)what;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return; /* end of input: not added again */
	c->input_len = filter_escapes(c, c->input, n > 0 ? (size_t)n : 0);
	send_input(c);
}

int console_connect_input(struct console *console, struct serial *serial)
{
	struct termios raw;

	console->serial = serial;
	console->stdin_event = event_new(console->base, STDIN_FILENO, EV_READ, on_stdin, console);
	console->room_event =
		event_new(console->base, console->room_fd, EV_READ | EV_PERSIST, on_room, console);
	if (!console->stdin_event || event_add(console->stdin_event, NULL) < 0 ||
	    !console->room_event || event_add(console->room_event, NULL) < 0)
		return report(HVRUN_VMM_ERROR, "cannot watch standard input");
	if (tcgetattr(STDIN_FILENO, &console->saved) < 0)
		return 0; /* not a terminal: fine */
	raw = console->saved;
	cfmakeraw(&raw);
	raw.c_oflag = console->saved.c_oflag; /* our own messages still need their "\r" */
	console->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
	return 0;
}

int console_create(struct console **out, struct machine *machine, struct event_base *base)
{
	struct console *c = calloc(1, sizeof(*c));

	if (!c)
		return report(HVRUN_VMM_ERROR, "out of memory");
	c->machine = machine;
	c->base = base;
	pthread_mutex_init(&c->out_lock, NULL);
	c->prompt_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	c->room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*out = c;
	c->prompt_event = event_new(base, c->prompt_fd, EV_READ | EV_PERSIST, on_prompt_timer, c);
	if (c->prompt_fd < 0 || c->room_fd < 0 || !c->prompt_event ||
	    event_add(c->prompt_event, NULL) < 0)
		return report(HVRUN_VMM_ERROR, "cannot set up the console: %s", strerror(errno));
	return 0;
}

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void console_destroy(struct console *console)
{
	if (!console)
		return;
	if (console->line_len > 0 && can_write(1000))
		flush_line(console);
	if (console->raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &console->saved);
	free_event(console->prompt_event);
	free_event(console->stdin_event);
	free_event(console->room_event);
	close_fd(console->prompt_fd);
	close_fd(console->room_fd);
	pthread_mutex_destroy(&console->out_lock);
	free(console);
}
