/* SPDX-License-Identifier: MIT */
/* A command of the control socket while it runs; for the files that have commands. */
#ifndef HVRUN_CONTROL_CALL_H
#define HVRUN_CONTROL_CALL_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control;
struct disks;
struct nets;

#define CALL_WHY 256u

/* Its client may leave before it ends. */
struct call {
	struct control *control;
	struct disks *disks;
	struct nets *nets;
	uint64_t client; /* its number; it may have left */
	struct json_object *id;
	struct json_object *arguments;
	char why[CALL_WHY];
	const char *code; /* of the error, if it fails */
};

enum outcome { DONE, FAILED, LATER };

struct command {
	const char *name;
	/* DONE with what it adds to result, FAILED with why, or LATER: call_end() follows. */
	enum outcome (*run)(struct call *call, struct json_object *result);
};

/* The last one has no name. */
extern const struct command disk_commands[];
extern const struct command net_commands[];

/* Answer a command that ends later; arg is its call. */
void call_end(void *arg);

/* For run(). */
enum outcome call_outcome(bool ok);
enum outcome call_wrong(struct call *call, const char *what);
/* NULL: it is missing, or not a string. */
const char *call_string(const struct call *call, const char *name);
/* A missing one is 0. False: it is not a number, or below 0. */
bool call_number(const struct call *call, const char *name, uint64_t *number);
/* False: it is missing, or neither true nor false. */
bool call_flag(const struct call *call, const char *name, bool *flag);

#endif
