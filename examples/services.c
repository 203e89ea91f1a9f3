/* SPDX-License-Identifier: MIT */
/*
 * What a VMM asks of its guest: pairs, a moment in which its file systems are consistent, a file. Runs
 * over the loopback, with a guest that says yes to everything; see docs/integration.md.
 */
#include <hvstack/guest/ic.h>
#include <hvstack/guest/loopback.h>
#include <hvstack/hvstack.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- what the guest says about itself -------------------------------------------------------- */

static void print_pair(void *arg, const char *key, const char *value)
{
	(void)arg;
	printf("%s: %s\n", key, value);
}

static void pairs_done(void *arg, int status, uint32_t guest_status)
{
	(void)arg;
	if (status)
		printf("not all of them: %s\n", hvs_ic_guest_status_name(guest_status));
}

static int ask_what_it_is(struct hvs_ic *kvp)
{
	return hvs_kvp_enumerate(kvp, HVS_KVP_AUTO, 0, print_pair, pairs_done, NULL);
}

/* ---- a backup -------------------------------------------------------------------------------- */

struct backup {
	struct hvs_ic *vss;
	bool consistent; /* with what programs in the guest think */
	bool done;
};

/* Your disks' way to remember what they contain now. */
static void take_point_in_time(struct backup *b)
{
	printf("point in time, %s\n", b->consistent ? "consistent" : "as after a loss of power");
}

static void backup_thawed(void *arg, int status, uint32_t guest_status)
{
	struct backup *b = arg;

	(void)guest_status;
	b->done = true;
	/* Copying what the disks contained may take hours; the guest runs. */
	printf("the guest %s\n", status ? "may still be frozen" : "goes on");
}

static void backup_frozen(void *arg, int status, uint32_t guest_status)
{
	struct backup *b = arg;

	(void)guest_status;
	b->consistent = status == 0;
	take_point_in_time(b);
	/* After a freeze that failed, too; -EALREADY: there is nothing to thaw. */
	if (hvs_vss_thaw(b->vss, 0, backup_thawed, b) != 0)
		b->done = true;
}

static void back_up(struct backup *b)
{
	const struct hvs_vss_freeze_request request = {HVS_VSS_FREEZE_REQUEST_INIT};
	int err = hvs_vss_freeze(b->vss, &request, backup_frozen, b);

	if (err) { /* not there: a copy of running disks is better than none */
		take_point_in_time(b);
		b->done = true;
	}
}

/* ---- a file ---------------------------------------------------------------------------------- */

struct copy {
	struct hvs_ic *filecopy;
	const char *text;
	size_t len;
	size_t at;
	bool done;
};

static void copy_ended(void *arg, int status, uint32_t guest_status)
{
	struct copy *c = arg;

	c->done = true;
	printf("file: %s\n", status ? hvs_ic_guest_status_name(guest_status) : "written");
}

static void copy_next(void *arg, int status, uint32_t guest_status)
{
	struct copy *c = arg;
	const size_t left = c->len - c->at;
	const size_t len = left < HVS_FILECOPY_MAX_WRITE ? left : HVS_FILECOPY_MAX_WRITE;
	int err;

	if (status) {
		copy_ended(c, status, guest_status);
		return;
	}
	if (len)
		err = hvs_filecopy_write(c->filecopy, c->text + c->at, len, copy_next, c);
	else
		err = hvs_filecopy_finish(c->filecopy, copy_ended, c);
	c->at += len;
	if (err)
		copy_ended(c, err, 0);
}

static int start_copy(struct copy *c)
{
	const struct hvs_filecopy_request request = {
		HVS_FILECOPY_REQUEST_INIT, .flags = HVS_FILECOPY_CREATE_PATH, .bytes = c->len,
		.directory = "/srv/from-host", .name = "hello.txt"};

	return hvs_filecopy_start(c->filecopy, &request, copy_next, c);
}

/* ---- the machine, and its guest -------------------------------------------------------------- */

#define SERVICES 3u
#define RING_BYTES 12288u

static const struct {
	enum hvs_ic_kind kind;
	uint32_t version; /* that the guest knows */
} services[SERVICES] = {
	{HVS_IC_KVP, 4u << 16}, {HVS_IC_VSS, 5u << 16}, {HVS_IC_FILECOPY, 1u << 16 | 1}};

struct machine {
	struct hvs_loopback *lb;
	struct hvs_guest *guest;
	struct hvs_ic *ic[SERVICES];
	struct hvs_guest_channel *ch[SERVICES];
};

static int boot(struct machine *m)
{
	const struct hvs_ic_ops ops = {HVS_IC_OPS_INIT};
	int err = hvs_loopback_create(NULL, &m->lb);

	for (unsigned i = 0; !err && i < SERVICES; i++) {
		const struct hvs_ic_config cfg = {HVS_IC_CONFIG_INIT, .kind = services[i].kind};

		err = hvs_ic_create(hvs_loopback_bus(m->lb), &cfg, &ops, NULL, &m->ic[i]);
	}
	if (!err)
		err = hvs_loopback_start(m->lb, &m->guest);
	if (!err)
		err = hvs_guest_connect(m->guest, 0x50003);
	if (!err && hvs_guest_request_offers(m->guest) != SERVICES)
		err = -EIO;
	for (unsigned i = 0; !err && i < SERVICES; i++) {
		err = hvs_guest_channel_open(m->guest,
					     hvs_guest_ic_offer(m->guest, services[i].kind),
					     RING_BYTES, &m->ch[i]);
		if (!err && hvs_guest_ic_negotiate(m->ch[i], &services[i].version, 1, true) <= 0)
			err = -EIO;
	}
	if (!err)
		hvs_loopback_run(m->lb);
	return err;
}

/* Yes to everything; of pairs there are none. */
static void guest_answers(struct machine *m)
{
	struct hvs_guest_ic_message msg;

	for (unsigned i = 0; i < SERVICES; i++) {
		hvs_loopback_run(m->lb);
		while (hvs_guest_ic_recv(m->ch[i], &msg) == 1) {
			const uint32_t status =
				msg.type == HVS_IC_KVP ? HVS_IC_E_NO_MORE_ITEMS : HVS_IC_S_OK;

			(void)!hvs_guest_ic_reply(m->ch[i], &msg, status, msg.body, 12);
			hvs_loopback_run(m->lb);
		}
	}
}

int main(void)
{
	static const char text[] = "Hello, guest.\n";
	struct machine m = {0};
	struct backup b = {0};
	struct copy c = {.text = text, .len = strlen(text)};
	int err = boot(&m);

	if (!err) {
		b.vss = m.ic[1];
		c.filecopy = m.ic[2];
		back_up(&b);
		err = ask_what_it_is(m.ic[0]);
	}
	if (!err)
		err = start_copy(&c);
	if (!err)
		guest_answers(&m);
	hvs_loopback_destroy(m.lb);
	return err || !b.done || !b.consistent || !c.done;
}
