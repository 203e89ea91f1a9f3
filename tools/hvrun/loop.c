/* SPDX-License-Identifier: MIT */
/*
 * The event loop of the I/O thread, which is the main thread: stop requests and signals. The
 * console adds standard input to it, and the Hyper-V devices do their work on it.
 */
#include "hyperv.h"
#include "machine.h"
#include "report.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CRASH_GRACE_S 60
#define CRASH_LOOK_MS 100

static const int stop_signals[] = {SIGINT, SIGTERM, SIGHUP};

static void wake(struct machine *m)
{
	const uint64_t one = 1;

	if (write(m->stop_fd, &one, sizeof(one)) < 0)
		report(HVRUN_VMM_ERROR, "cannot wake the I/O thread: %s", strerror(errno));
}

void machine_stop(struct machine *machine, int status)
{
	int running = MACHINE_RUNNING;

	if (atomic_load(&machine->crashed) && status != HVRUN_VMM_ERROR && status != HVRUN_STOPPED)
		status = HVRUN_CRASHED;
	if (atomic_compare_exchange_strong(&machine->status, &running, status))
		wake(machine);
}

bool machine_stopping(const struct machine *machine)
{
	return atomic_load(&machine->status) != MACHINE_RUNNING;
}

void machine_guest_crashed(struct machine *machine)
{
	atomic_store(&machine->crashed, true);
	wake(machine);
}

/* A crash was reported: from now on, look for a dump kernel that connects to VMBus anew. */
static void begin_grace(struct machine *m)
{
	static const struct timeval look = {.tv_usec = CRASH_LOOK_MS * 1000L};

	m->grace_looks = CRASH_GRACE_S * 1000 / CRASH_LOOK_MS;
	m->disconnected = false;
	event_add(m->grace_event, &look);
}

static void on_grace(evutil_socket_t fd, short what, void *arg)
{
	struct machine *m = arg;
	const bool connected = hyperv_connected(m);

	(void)fd;
	(void)what;
	if (!connected)
		m->disconnected = true;
	if (connected && m->disconnected)
		event_del(m->grace_event);
	else if (--m->grace_looks == 0)
		machine_stop(m, HVRUN_CRASHED);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct machine *m = arg;
	uint64_t count;

	(void)what;
	if (read((int)fd, &count, sizeof(count)) < 0)
		return;
	if (machine_stopping(m))
		event_base_loopbreak(m->base);
	else if (atomic_load(&m->crashed))
		begin_grace(m);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	machine_stop(arg, HVRUN_STOPPED);
}

static int add_events(struct machine *m)
{
	const size_t count = sizeof(stop_signals) / sizeof(stop_signals[0]);

	m->stop_event = event_new(m->base, m->stop_fd, EV_READ | EV_PERSIST, on_wake, m);
	if (!m->stop_event || event_add(m->stop_event, NULL) < 0)
		return -1;
	m->grace_event = event_new(m->base, -1, EV_PERSIST, on_grace, m);
	if (!m->grace_event)
		return -1;
	for (size_t i = 0; i < count; i++) {
		m->signal_events[i] = evsignal_new(m->base, stop_signals[i], on_signal, m);
		if (!m->signal_events[i] || event_add(m->signal_events[i], NULL) < 0)
			return -1;
	}
	return 0;
}

int loop_create(struct machine *machine)
{
	struct event_config *config;

	/* Disks come and go while I/O threads run their loops. */
	if (evthread_use_pthreads() < 0)
		return report(HVRUN_VMM_ERROR, "cannot set up libevent");
	config = event_config_new();

	/* Standard input may be a plain file, which epoll refuses. */
	if (config && event_config_require_features(config, EV_FEATURE_FDS) == 0)
		machine->base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	machine->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!machine->base || machine->stop_fd < 0 || add_events(machine) < 0)
		return report(HVRUN_VMM_ERROR, "cannot set up the event loop: %s", strerror(errno));
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

void loop_destroy(struct machine *machine)
{
	struct event *const events[] = {machine->stop_event, machine->grace_event,
					machine->signal_events[0], machine->signal_events[1],
					machine->signal_events[2]};

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			event_free(events[i]);
	if (machine->base)
		event_base_free(machine->base);
	libevent_global_shutdown();
	if (machine->stop_fd >= 0)
		close(machine->stop_fd);
}
