/* SPDX-License-Identifier: MIT */
/*
 * usage: server FOLDER
 *
 * A machine without a processor, for tests of clients: the library's management server, integration
 * services and backups, over a loopback whose guest has no drivers. It listens on FOLDER/socket; its
 * disk is FOLDER/disk0.img. Says so with a line, and ends when standard input does.
 */
#include <event2/event.h>
#include <hvstack/guest/loopback.h>
#include <hvstack/host/backup.h>
#include <hvstack/host/filedisk.h>
#include <hvstack/host/manager.h>
#include <hvstack/host/services.h>
#include <hvstack/host/snapshot.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct hvs_loopback *loopback;
static struct hvs_filedisk *disk;
static struct hvs_snapshot *snapshot;

#define TRY(call)                                                                                  \
	do {                                                                                       \
		int err_ = (call);                                                                 \
		if (err_ < 0) {                                                                    \
			fprintf(stderr, "%s: %s\n", #call, strerror(-err_));                       \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static const char *state(void *arg)
{
	(void)arg;
	return "running";
}

static void devices(void *arg, struct json_object *disks, struct json_object *nets)
{
	struct json_object *one = json_object_new_object();

	(void)arg;
	(void)nets;
	json_object_object_add(one, "disk", json_object_new_string("disk0"));
	json_object_object_add(one, "backup", json_object_new_boolean(true));
	json_object_array_add(disks, one);
}

static bool find_disk(void *arg, const char *id, struct hvs_backup_disk *found)
{
	(void)arg;
	found->snapshot = snapshot;
	found->block_size = 512;
	return strcmp(id, "disk0") == 0;
}

static void tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	hvs_loopback_advance(loopback, 5000000);
	hvs_loopback_run(loopback);
}

static void stop(evutil_socket_t fd, short what, void *base)
{
	char c;

	(void)what;
	if (read(fd, &c, 1) <= 0)
		event_base_loopbreak(base);
}

static void open_disk(struct event_base *base, const char *folder)
{
	struct hvs_filedisk_config cfg = {HVS_FILEDISK_CONFIG_INIT, .base = base,
					  .flags = HVS_FILEDISK_THREADS};
	struct hvs_snapshot_config filter = {HVS_SNAPSHOT_CONFIG_INIT, .base = base, .dir = folder,
					     .ops = hvs_filedisk_ops()};
	char path[4096];

	snprintf(path, sizeof(path), "%s/disk0.img", folder);
	cfg.path = path;
	TRY(hvs_filedisk_open(&cfg, &disk, NULL));
	filter.disk = disk;
	TRY(hvs_snapshot_create(&filter, &snapshot));
}

int main(int argc, char **argv)
{
	const struct timeval every = {.tv_usec = 5000};
	const struct hvs_manager_machine_ops machine_ops = {HVS_MANAGER_MACHINE_OPS_INIT,
							    .state = state, .devices = devices};
	const struct hvs_manager_backup_ops backup_ops = {HVS_MANAGER_BACKUP_OPS_INIT,
							  .find_disk = find_disk};
	struct hvs_manager_config cfg = {HVS_MANAGER_CONFIG_INIT, .server = "test 1.0",
					 .name = "web1", .uuid = {{1, 2, 3, 4}}};
	struct hvs_manager_backup_config backup_cfg = {HVS_MANAGER_BACKUP_CONFIG_INIT,
						       .ops = &backup_ops, .name = "web1"};
	struct hvs_services_config services_cfg = {HVS_SERVICES_CONFIG_INIT,
						   .services = HVS_SERVICES_ALL, .name = "web1"};
	struct event_base *base = event_base_new();
	struct event *ticks = event_new(base, -1, EV_PERSIST, tick, NULL);
	struct event *end = event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, stop, base);
	struct hvs_manager_backup *backups;
	struct hvs_services *services;
	struct hvs_manager *manager;
	struct hvs_guest *guest;
	char path[4096];

	if (argc != 2)
		return 2;
	snprintf(path, sizeof(path), "%s/socket", argv[1]);
	open_disk(base, argv[1]);
	cfg.base = base;
	cfg.socket_path = path;
	TRY(hvs_manager_create(&cfg, &manager));
	TRY(hvs_manager_set_machine(manager, &machine_ops, NULL));
	backup_cfg.manager = manager;
	backup_cfg.base = base;
	TRY(hvs_manager_backup_create(&backup_cfg, &backups));
	TRY(hvs_loopback_create(NULL, &loopback));
	services_cfg.base = base;
	services_cfg.bus = hvs_loopback_bus(loopback);
	services_cfg.manager = manager;
	TRY(hvs_services_create(&services_cfg, NULL, 0, &services));
	TRY(hvs_loopback_start(loopback, &guest));
	TRY(hvs_guest_connect(guest, 5u << 16 | 3));
	event_add(ticks, &every);
	event_add(end, NULL);
	puts("ready");
	fflush(stdout);
	event_base_dispatch(base);

	hvs_manager_backup_end(backups);
	hvs_loopback_destroy(loopback);
	hvs_services_destroy(services);
	hvs_manager_destroy(manager);
	hvs_manager_backup_destroy(backups);
	hvs_snapshot_destroy(snapshot);
	hvs_filedisk_close(disk);
	event_free(ticks);
	event_free(end);
	event_base_free(base);
	return 0;
}
