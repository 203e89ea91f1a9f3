/* SPDX-License-Identifier: MIT */
#include "nets.h"

#include "iothreads.h"
#include "net_policy.h"
#include "report.h"

#include <errno.h>
#include <event2/event.h>
#include <hvstack/host/tap.h>
#include <hvstack/host/usernet.h>
#include <hvstack/host/wire.h>
#include <json-c/json.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#define MAX_QUEUES 17u

/* Instances are named in this name space: an adapter has the same name on each start. */
static const uuid_t net_name_space = {0x3d, 0x05, 0x9a, 0x4e, 0x11, 0x6f, 0x4b, 0x2c,
				      0xa7, 0x48, 0x0d, 0xe2, 0x93, 0x5c, 0x71, 0xbe};

struct net {
	struct net *next;
	struct nets *nets;
	struct net_option option; /* strings are our own */
	struct hvs_nic *nic;
	const struct hvs_net_ops *ops; /* the back end; NULL: not open */
	void *back_end;
	void (*close)(void *back_end);
	struct hvs_usernet *user; /* the back end if it is one */
	atomic_bool unplugged;
	struct hvs_capture *capture;
	struct hvs_mirror *mirror;
	struct net *mirror_to;
	struct event *gone_event; /* activated when the library does not use it any more */
	void (*gone)(void *arg);
	void *gone_arg;
	bool leaving;
};

struct nets {
	struct nets_config cfg;
	struct net *first;
	unsigned made; /* for ids and addresses */
};

struct nets *nets_create(const struct nets_config *cfg)
{
	struct nets *nets = calloc(1, sizeof(*nets));

	if (nets)
		nets->cfg = *cfg;
	return nets;
}

static bool fail(char *why, const char *what, int err)
{
	snprintf(why, NETS_WHY, "%s: %s", what, strerror(-err));
	return false;
}

/* ---- back ends ---------------------------------------------------------------------------- */

/* One for each queue. Returns how many. */
static uint32_t all_bases(const struct nets *nets, struct event_base *bases[MAX_QUEUES])
{
	size_t count = iothreads_count(nets->cfg.threads);

	bases[0] = nets->cfg.base;
	for (size_t i = 0; i < count; i++)
		bases[1 + i] = iothreads_base(nets->cfg.threads, i);
	return (uint32_t)(1 + count);
}

/* On any thread. The back end has just changed the link: what the user wants has the last word. */
static void on_message(void *arg, const char *text)
{
	struct net *n = arg;

	report(0, "net %s: %s", n->option.id, text);
	if (atomic_load(&n->unplugged) && n->nic)
		hvs_nic_set_link(n->nic, false, 0);
}

static void close_tap(void *tap)
{
	hvs_tap_close(tap); /* hvstack {} */
}

static bool open_tap(struct net *n, char *why)
{
	struct event_base *bases[MAX_QUEUES];
	/* hvstack { */
	const struct hvs_tap_config cfg = {HVS_TAP_CONFIG_INIT,
					   .name = n->option.target,
					   .queue_count = n->option.queues,
					   .bases = bases,
					   .base_count = all_bases(n->nets, bases),
					   .mtu = n->option.mtu,
					   .log = on_message,
					   .arg = n};
	struct hvs_tap *tap;

	if (hvs_tap_open(&cfg, &tap, why, NETS_WHY) < 0)
		return false;
	n->ops = hvs_tap_ops();
	/* } hvstack */
	n->back_end = tap;
	n->close = close_tap;
	return true;
}

static void close_pipe(void *pipe)
{
	hvs_pipe_close(pipe);
}

static bool open_socket(struct net *n, char *why)
{
	const struct hvs_pipe_config cfg = {
		HVS_PIPE_CONFIG_INIT,
		.path = n->option.target,
		.flags = n->option.listen ? HVS_PIPE_LISTEN : 0,
		.base = n->nets->cfg.base,
		.max_queues = (uint32_t)(1 + iothreads_count(n->nets->cfg.threads)),
		.mtu = n->option.mtu,
		.log = on_message,
		.arg = n};
	struct hvs_pipe *p;

	if (hvs_pipe_open(&cfg, &p, why, NETS_WHY) < 0)
		return false;
	n->ops = hvs_pipe_ops();
	n->back_end = p;
	n->close = close_pipe;
	return true;
}

static bool change_forward(struct net *n, const struct net_forward *f, bool on, char *why)
{
	struct hvs_usernet_forward forward = {HVS_USERNET_FORWARD_INIT, .udp = f->udp,
					      .host_port = f->host_port,
					      .guest_port = f->guest_port};
	int err;

	memcpy(forward.host_addr, f->host_addr, sizeof(forward.host_addr));
	err = on ? hvs_usernet_add_forward(n->user, &forward)
		 : hvs_usernet_remove_forward(n->user, &forward);
	if (!err)
		return true;
	snprintf(why, NETS_WHY, "%s port %u: %s", f->udp ? "UDP" : "TCP", f->host_port,
		 strerror(-err));
	return false;
}

static void close_user(void *user)
{
	hvs_usernet_destroy(user);
}

static bool open_user(struct net *n, char *why)
{
	const struct hvs_usernet_config cfg = {
		HVS_USERNET_CONFIG_INIT,
		.flags = n->option.restricted ? HVS_USERNET_RESTRICTED : 0,
		.base = n->nets->cfg.base,
		.max_queues = (uint32_t)(1 + iothreads_count(n->nets->cfg.threads)),
		.mtu = n->option.mtu,
		.log = on_message,
		.arg = n};
	int err = hvs_usernet_create(&cfg, &n->user);

	if (err)
		return fail(why, "no user network", err);
	n->ops = hvs_usernet_ops();
	n->back_end = n->user;
	n->close = close_user;
	for (unsigned i = 0; i < n->option.forward_count; i++)
		if (!change_forward(n, &n->option.forwards[i], true, why))
			return false;
	return true;
}

static bool open_back_end(struct net *n, char *why)
{
	switch (n->option.kind) {
	case NET_TAP:
		return open_tap(n, why);
	case NET_SOCKET:
		return open_socket(n, why);
	case NET_USER:
		break;
	}
	return open_user(n, why);
}

/* ---- who sees what passes --------------------------------------------------------------------- */

/* On the threads of the queues. */
static void on_frame(void *arg, uint32_t queue, bool to_guest, const struct hvs_net_frame *frame)
{
	const struct net *n = arg;

	if (n->capture)
		hvs_capture_ops()->frame(n->capture, queue, to_guest, frame);
	if (n->mirror)
		hvs_mirror_ops()->frame(n->mirror, queue, to_guest, frame);
}

/* Between these two nobody looks at what they want. */
static void stop_monitor(struct net *n)
{
	/* Can't fail: there is nothing to be allocated. */
	(void)!hvs_nic_set_monitor(n->nic, NULL, NULL);
}

static bool start_monitor(struct net *n, char *why)
{
	static const struct hvs_net_monitor_ops ops = {HVS_NET_MONITOR_OPS_INIT, .frame = on_frame};
	int err = 0;

	if (n->capture || n->mirror)
		err = hvs_nic_set_monitor(n->nic, &ops, n);
	return err ? fail(why, "cannot watch the adapter", err) : true;
}

static void drop_capture(struct net *n)
{
	hvs_capture_close(n->capture);
	n->capture = NULL;
	free(n->option.capture);
	n->option.capture = NULL;
}

static void drop_mirror(struct net *n)
{
	hvs_mirror_destroy(n->mirror);
	n->mirror = NULL;
	n->mirror_to = NULL;
}

static bool open_capture(struct net *n, const char *file, uint64_t max_bytes, char *why)
{
	const struct hvs_capture_config cfg = {HVS_CAPTURE_CONFIG_INIT, .path = file,
					       .name = n->option.id, .max_bytes = max_bytes};
	int err;

	n->option.capture = strdup(file);
	err = n->option.capture ? hvs_capture_open(&cfg, &n->capture) : -ENOMEM;
	return err ? fail(why, file, err) : true;
}

/* ---- making and freeing ----------------------------------------------------------------------- */

static void net_free(struct net *n)
{
	hvs_mirror_destroy(n->mirror);
	if (n->close)
		n->close(n->back_end);
	hvs_capture_close(n->capture);
	if (n->gone_event)
		event_free(n->gone_event);
	free(n->option.target);
	free(n->option.id);
	free(n->option.name);
	free(n->option.policy);
	free(n->option.capture);
	free(n);
}

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
	struct net *n = arg;
	void (*gone)(void *) = n->gone;
	void *gone_arg = n->gone_arg;
	struct net **p = &n->nets->first;

	(void)fd;
	(void)what;
	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
	net_free(n);
	gone(gone_arg);
}

/* On any thread. */
static void on_unused(void *arg, int status)
{
	struct net *n = arg;

	(void)status;
	event_active(n->gone_event, EV_TIMEOUT, 0);
}

static bool copy_string(char **s)
{
	if (!*s)
		return true;
	*s = strdup(*s);
	return *s != NULL;
}

/* An address that stays the same as long as the machine's UUID does. Microsoft's prefix, as guests
 * may expect. */
static void make_mac(const struct nets *nets, uint8_t mac[6])
{
	uint32_t hash = 2166136261u;

	for (unsigned i = 0; i < 16; i++)
		hash = (hash ^ nets->cfg.machine_id.b[i]) * 16777619u;
	hash = (hash ^ nets->made) * 16777619u;
	memcpy(mac, (const uint8_t[3]){0x00, 0x15, 0x5d}, 3);
	mac[3] = (uint8_t)(hash >> 16);
	mac[4] = (uint8_t)(hash >> 8);
	mac[5] = (uint8_t)hash;
}

static struct net *net_new(struct nets *nets, const struct net_option *option)
{
	static const uint8_t no_mac[6];
	struct net *n = calloc(1, sizeof(*n));
	char id[16];
	bool ok;

	if (!n)
		return NULL;
	n->nets = nets;
	n->option = *option;
	n->option.capture = NULL;
	atomic_init(&n->unplugged, false);
	if (!option->id) {
		snprintf(id, sizeof(id), "net%u", nets->made);
		n->option.id = id;
	}
	if (memcmp(option->mac, no_mac, sizeof(no_mac)) == 0)
		make_mac(nets, n->option.mac);
	nets->made++;
	ok = copy_string(&n->option.target);
	ok &= copy_string(&n->option.id);
	ok &= copy_string(&n->option.name);
	ok &= copy_string(&n->option.policy);
	n->gone_event = event_new(nets->cfg.base, -1, 0, on_gone, n);
	if (ok && n->gone_event)
		return n;
	net_free(n);
	return NULL;
}

void nets_destroy(struct nets *nets)
{
	if (!nets)
		return;
	for (struct net *n = nets->first; n; n = n->next)
		drop_mirror(n);
	while (nets->first) {
		struct net *n = nets->first;

		nets->first = n->next;
		if (n->leaving)
			n->gone(n->gone_arg);
		net_free(n);
	}
	free(nets);
}

/* ---- adding ----------------------------------------------------------------------------------- */

static struct net *find(const struct nets *nets, const char *id)
{
	struct net *n = nets->first;

	while (n && strcmp(n->option.id, id) != 0)
		n = n->next;
	return n;
}

bool nets_have(const struct nets *nets, const char *id)
{
	return find(nets, id);
}

static struct hvs_guid instance_id(const struct net_option *o)
{
	struct hvs_guid id;
	uuid_t uuid;

	uuid_generate_sha1(uuid, net_name_space, o->id, strlen(o->id));
	memcpy(id.b, uuid, sizeof(id.b));
	return id;
}

static bool make_nic(struct net *n, char *why)
{
	const struct nets_config *c = &n->nets->cfg;
	/* hvstack { */
	struct hvs_nic_config cfg = {HVS_NIC_CONFIG_INIT, .instance_id = instance_id(&n->option),
				     .max_subchannels = c->subchannels,
				     .subchannel_workers = iothreads_workers(c->threads),
				     .subchannel_worker_count =
					     (uint32_t)iothreads_count(c->threads)};

	memcpy(cfg.mac, n->option.mac, sizeof(cfg.mac));
	/* } hvstack */
	if (n->option.name)
		memcpy(cfg.name, n->option.name, strlen(n->option.name) + 1);
	/* hvstack { */
	int err = hvs_nic_create(c->bus, &cfg, n->ops, n->back_end, &n->nic);
	/* } hvstack */
	return err ? fail(why, "cannot add the adapter", err) : true;
}

static bool set_policy(struct net *n, struct json_object *json, char *why)
{
	struct hvs_port_policy policy;
	bool ok = net_policy_parse(json, &policy, why, NETS_WHY);

	if (ok) {
		int err = hvs_nic_set_policy(n->nic, &policy);

		ok = err ? fail(why, "policy", err) : true;
	}
	net_policy_free(&policy);
	return ok;
}

/* Before the guest can send anything. */
static bool begin_policy(struct net *n, char *why)
{
	struct json_object *json = NULL;
	bool ok;

	if (n->option.vlan) {
		json = json_object_new_object();
		json_object_object_add(json, "vlan", json_object_new_int(n->option.vlan));
	} else if (n->option.policy) {
		json = json_object_from_file(n->option.policy);
		if (!json) {
			snprintf(why, NETS_WHY, "%.180s: no such file, or not JSON",
				 n->option.policy);
			return false;
		}
	}
	ok = !json || set_policy(n, json, why);
	json_object_put(json);
	return ok;
}

static bool check(const struct nets *nets, const struct net_option *o, char *why)
{
	if (o->id && find(nets, o->id))
		snprintf(why, NETS_WHY, "there is an adapter '%s' already", o->id);
	else if (o->name && strlen(o->name) >= sizeof(((struct hvs_nic_config *)0)->name))
		snprintf(why, NETS_WHY, "the name '%s' is too long", o->name);
	else if (o->queues > 1 + iothreads_count(nets->cfg.threads))
		snprintf(why, NETS_WHY, "%s: each queue needs a thread: see --io-threads",
			 o->target);
	else
		return true;
	return false;
}

static bool make(struct net *n, const char *capture, char *why)
{
	return open_back_end(n, why) && make_nic(n, why) && begin_policy(n, why) &&
	       (!capture || (open_capture(n, capture, 0, why) && start_monitor(n, why)));
}

static void append(struct net *n)
{
	struct net **last = &n->nets->first;

	while (*last)
		last = &(*last)->next;
	*last = n;
}

static void nobody_waits(void *arg)
{
	(void)arg;
}

/* What could not be made to the end; its NIC is taken back before anything else of it. */
static void abandon(struct net *n)
{
	if (!n->nic) {
		net_free(n);
		return;
	}
	n->gone = nobody_waits;
	n->leaving = true;
	append(n);
	/* Can't fail: it is removed for the first time. */
	(void)!hvs_nic_remove(n->nic, on_unused, n);
}

bool nets_add(struct nets *nets, const struct net_option *option, const char **id, char *why)
{
	struct net *n;

	if (!check(nets, option, why))
		return false;
	n = net_new(nets, option);
	if (!n)
		return fail(why, "cannot add the adapter", -ENOMEM);
	if (!make(n, option->capture, why)) {
		abandon(n);
		return false;
	}
	append(n);
	*id = n->option.id;
	return true;
}

/* ---- changes ----------------------------------------------------------------------------------- */

static struct net *find_present(const struct nets *nets, const char *id, char *why)
{
	struct net *n = find(nets, id);

	if (n && !n->leaving)
		return n;
	snprintf(why, NETS_WHY, "there is no adapter '%s'", id);
	return NULL;
}

bool nets_remove(struct nets *nets, const char *id, void (*gone)(void *arg), void *arg, char *why)
{
	struct net *n = find_present(nets, id, why);
	int err;

	if (!n)
		return false;
	for (struct net *other = nets->first; other; other = other->next)
		if (other->mirror_to == n && !nets_set_mirror(nets, other->option.id, NULL, why))
			return false;
	stop_monitor(n);
	drop_mirror(n);
	n->gone = gone;
	n->gone_arg = arg;
	n->leaving = true;
	err = hvs_nic_remove(n->nic, on_unused, n);
	if (!err)
		return true;
	n->leaving = false;
	return fail(why, "cannot remove the adapter", err);
}

bool nets_set_link(struct nets *nets, const char *id, bool up, char *why)
{
	struct net *n = find_present(nets, id, why);
	struct hvs_net_info info = {HVS_NET_INFO_INIT};

	if (!n)
		return false;
	atomic_store(&n->unplugged, !up);
	/* It may be down at the other end. */
	if (up && n->ops->get_info(n->back_end, &info) == 0)
		up = !info.link_down;
	hvs_nic_set_link(n->nic, up, 0);
	return true;
}

bool nets_set_policy(struct nets *nets, const char *id, struct json_object *policy, char *why)
{
	struct net *n = find_present(nets, id, why);

	return n && set_policy(n, policy, why);
}

bool nets_set_capture(struct nets *nets, const char *id, const char *file, uint64_t max_bytes,
		      char *why)
{
	struct net *n = find_present(nets, id, why);
	bool ok;

	if (!n)
		return false;
	stop_monitor(n);
	drop_capture(n);
	ok = !file || open_capture(n, file, max_bytes, why);
	if (!ok)
		drop_capture(n);
	return start_monitor(n, why) && ok;
}

bool nets_set_mirror(struct nets *nets, const char *id, const char *to, char *why)
{
	struct net *n = find_present(nets, id, why);
	struct net *other = n && to ? find_present(nets, to, why) : NULL;
	int err = 0;

	if (!n || (to && !other))
		return false;
	if (n == other) {
		snprintf(why, NETS_WHY, "'%s' cannot be its own mirror", id);
		return false;
	}
	stop_monitor(n);
	drop_mirror(n);
	if (other)
		err = hvs_mirror_create(other->nic, nets->cfg.base, &n->mirror);
	if (!err)
		n->mirror_to = other;
	return start_monitor(n, why) && (!err || fail(why, "no mirror", err));
}

bool nets_set_forward(struct nets *nets, const char *id, const struct net_forward *forward, bool on,
		      char *why)
{
	struct net *n = find_present(nets, id, why);

	if (!n)
		return false;
	if (!n->user) {
		snprintf(why, NETS_WHY, "'%s' is not a user network", id);
		return false;
	}
	return change_forward(n, forward, on, why);
}

void nets_visit(const struct nets *nets, void (*visit)(void *arg, const struct net_view *net),
		void *arg)
{
	for (const struct net *n = nets->first; n; n = n->next) {
		struct net_view view = {.option = &n->option,
					.id = n->option.id,
					.instance_id = instance_id(&n->option),
					.plugged = !atomic_load(&n->unplugged),
					.status.size = sizeof(view.status),
					.counters.size = sizeof(view.counters),
					.captured.size = sizeof(view.captured)};

		if (n->leaving || hvs_nic_get_status(n->nic, &view.status) < 0 ||
		    hvs_nic_get_counters(n->nic, &view.counters) < 0)
			continue;
		if (n->capture && hvs_capture_get_counters(n->capture, &view.captured) == 0)
			view.capture = n->option.capture;
		if (n->mirror) {
			view.mirror = n->mirror_to->option.id;
			view.mirror_dropped = hvs_mirror_dropped(n->mirror);
		}
		visit(arg, &view);
	}
}
