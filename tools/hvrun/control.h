/* SPDX-License-Identifier: MIT */
/* The control socket: the library's management server, with methods for disks and adapters. */
#ifndef HVRUN_CONTROL_H
#define HVRUN_CONTROL_H

#include <hvstack/types.h>
#include <stdbool.h>
#include <stdint.h>

struct bus_capture;
struct control;
struct disks;
struct evbuffer;
struct event_base;
struct hvs_call;
struct hvs_ic;
struct hvs_manager;
struct hvs_manager_backup;
struct hvs_kvm;
struct hvs_services;
struct json_object;
struct nets;

struct control_config {
	const char *path;
	const char *roles; /* a file; NULL: this user and root administer */
	const char *name;  /* of the machine */
	struct hvs_guid machine_id;
	struct event_base *base;
	struct hvs_kvm *kvm;
	struct bus_capture *capture;
	struct disks *disks;
	struct nets *nets;
	struct hvs_services *services; /* NULL: control_set_services() follows */
};

/* Listen on a Unix socket. A socket that is left over there is replaced. Returns an exit status. */
int control_create(const struct control_config *cfg, struct control **out);
/* The base does not run. NULL is allowed. */
void control_destroy(struct control *control);

/* The server; NULL for NULL. */
struct hvs_manager *control_manager(const struct control *control);
/* Once they are there. control may be NULL. */
void control_set_services(struct control *control, struct hvs_services *services);

/* A backup that runs ends. While the bus is there. NULL is allowed. */
void control_end_backup(struct control *control);

/* Tell all clients. NULL is allowed. */
void control_medium_ejected(struct control *control, const char *disk);

/* End a call that has succeeded; for callbacks. arg is the call. */
void control_call_done(void *arg);
/* End a call with nothing to return, or with what is wrong. */
void control_call_end(struct hvs_call *call, bool ok, const char *why);
/* End a call that takes no parameters with this list, which becomes its own. */
void control_call_list(struct hvs_call *call, const char *name, struct json_object *array);

/* Of control_backup.c, control_channels.c, control_disks.c, control_metrics.c and control_nets.c. 0 or a negative errno. */
int control_add_backup(struct hvs_manager *manager, const struct control_config *cfg,
		       struct hvs_manager_backup **backup);
int control_add_channels(struct hvs_manager *manager, struct bus_capture *capture);
int control_add_disks(struct hvs_manager *manager, struct disks *disks);
int control_add_nets(struct hvs_manager *manager, struct nets *nets);
void control_list_disks(const struct disks *disks, struct json_object *array);
void control_list_nets(const struct nets *nets, struct json_object *array);
void control_put_metrics(const struct disks *disks, const struct nets *nets, struct evbuffer *out);

#endif
