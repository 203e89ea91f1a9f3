/* SPDX-License-Identifier: MIT */
/*
 * Host and guest end of the bus on a machine without an operating system: a disk, a network adapter
 * and the heartbeat work; a guest that breaks the protocol loses that channel and nothing else.
 */
#include "guest.h"
#include "runtime.h"

static unsigned passed, failed;

static void check(const char *what, bool ok)
{
	say(ok ? "ok     " : "FAILED ");
	say(what);
	say("\n");
	passed += ok;
	failed += !ok;
}

void demo(void)
{
	check("connect", guest_connects());
	check("disk", guest_uses_disk());
	check("network", guest_uses_network());
	check("heartbeat", guest_has_heartbeat());
	check("a violation is contained", guest_breaks_protocol());
	check("the network goes on", guest_exchanges_frame(2));
	check("the heartbeat goes on", guest_answers_beat(2));
	guest_ends();
	check("all memory is given back", heap_used() == 0);
	say("heap: ");
	say_number(heap_most());
	say(" bytes\n");
	say_number(passed);
	say(" passed, ");
	say_number(failed);
	say(" failed\n");
	machine_exit(failed != 0);
}
