/* SPDX-License-Identifier: MIT */
/*
 * The control socket: one JSON object a line.
 *
 *   {"execute": "disk-add", "arguments": {"disk": "data.img,id=data"}, "id": 1}
 *   {"return": {"disk": "data"}, "id": 1}
 *   {"error": {"code": "failed", "message": "..."}, "id": 1}
 *   {"event": "medium-ejected", "disk": "cdrom0"}
 *
 * hvrun(1) lists the commands. Answers come in the order in which commands end.
 */
#ifndef HVRUN_CONTROL_H
#define HVRUN_CONTROL_H

struct control;
struct disks;
struct nets;
struct event_base;

/* Listen on a Unix socket, which only this user may connect to. A socket that is left over there is
 * replaced. Returns an exit status. */
int control_create(const char *path, struct event_base *base, struct disks *disks,
		   struct nets *nets, struct control **out);
/* The base does not run. NULL is allowed. */
void control_destroy(struct control *control);

/* Tell all clients. NULL is allowed. */
void control_medium_ejected(struct control *control, const char *disk);

#endif
