/* SPDX-License-Identifier: MIT */
/* Who is at the other end of a connection, as the kernel says. */
#include "host/manager_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59 /* Linux 4.13; older headers lack it */
#endif

static const struct {
	const char *name;
	enum hvs_role role;
} names[] = {
	{"none", HVS_ROLE_NONE},
	{"monitor", HVS_ROLE_MONITOR},
	{"backup", HVS_ROLE_BACKUP},
	{"operator", HVS_ROLE_OPERATOR},
	{"administrator", HVS_ROLE_ADMINISTRATOR},
};
#define NAMES (sizeof(names) / sizeof(names[0]))

const char *hvsi_role_name(enum hvs_role role)
{
	for (size_t i = 1; i < NAMES; i++)
		if (names[i].role == role)
			return names[i].name;
	return names[0].name;
}

bool hvsi_role_parse(const char *name, enum hvs_role *role)
{
	for (size_t i = 0; i < NAMES; i++)
		if (strcmp(name, names[i].name) == 0) {
			*role = names[i].role;
			return true;
		}
	return false;
}

struct peer {
	struct ucred cred; /* when it connected */
	gid_t *groups;     /* supplementary; to be freed */
	size_t group_count;
};

static int get_groups(int fd, struct peer *peer)
{
	socklen_t bytes = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &bytes) < 0 && errno != ERANGE)
		return -errno;
	if (!bytes)
		return 0;
	peer->groups = malloc(bytes);
	if (!peer->groups)
		return -ENOMEM;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer->groups, &bytes) < 0)
		return -errno;
	peer->group_count = bytes / sizeof(gid_t);
	return 0;
}

static bool in_group(const struct peer *peer, uint32_t id)
{
	if (peer->cred.gid == id)
		return true;
	for (size_t i = 0; i < peer->group_count; i++)
		if (peer->groups[i] == id)
			return true;
	return false;
}

static enum hvs_role role_of(const struct hvs_manager *m, const struct peer *peer)
{
	const uid_t uid = peer->cred.uid;

	if (!m->rules)
		return uid == 0 || uid == geteuid() ? HVS_ROLE_ADMINISTRATOR : HVS_ROLE_NONE;
	for (uint32_t i = 0; i < m->cfg.rule_count; i++) {
		const struct hvs_role_rule *r = &m->rules[i];

		if (r->group ? in_group(peer, r->id) : r->id == uid)
			return r->role;
	}
	return HVS_ROLE_NONE;
}

int hvsi_roles_identify(const struct hvs_manager *m, struct hvsi_client *client)
{
	struct peer peer = {.groups = NULL};
	socklen_t len = sizeof(peer.cred);
	int err;

	if (getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer.cred, &len) < 0)
		return -errno;
	err = get_groups(client->fd, &peer);
	if (!err) {
		client->role = role_of(m, &peer);
		(void)snprintf(client->who, sizeof(client->who), "uid %u pid %d (%s)",
			       (unsigned)peer.cred.uid, (int)peer.cred.pid,
			       hvsi_role_name(client->role));
	}
	free(peer.groups);
	return err;
}
