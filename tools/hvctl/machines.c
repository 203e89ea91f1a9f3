/* SPDX-License-Identifier: MIT */
/* Which machines there are, and which one is meant. */
#include "machines.h"
#include "hvctl.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATIENCE_S 5u
#define SYSTEM_FOLDER "/run/hvstack"

static bool is_socket(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static void add_folder(struct machines *m, const char *folder)
{
	struct dirent **names;
	const int count = scandir(folder, &names, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		char *path;

		if (asprintf(&path, "%s/%s", folder, names[i]->d_name) < 0)
			abort();
		free(names[i]);
		if (!is_socket(path)) {
			free(path);
			continue;
		}
		m->at = reallocarray(m->at, m->count + 1, sizeof(*m->at));
		if (!m->at)
			abort();
		m->at[m->count++] = (struct machine){.socket = path};
	}
	if (count >= 0)
		free(names);
}

static void ask_machine(struct machine *machine)
{
	struct client *client = client_open(machine->socket, PATIENCE_S, true, &machine->code);
	struct answer answer;

	if (!client) {
		snprintf(machine->why, sizeof(machine->why), "%s",
			 machine->code == EXIT_DENIED ? "no permission" : "not running");
		return;
	}
	if (client_call(client, "info", NULL, NULL, 0, &answer)) {
		machine->info = answer.result;
	} else {
		machine->code = answer.code;
		snprintf(machine->why, sizeof(machine->why), "%s",
			 answer.code == EXIT_DENIED ? "access denied" : "does not answer");
	}
	client_close(client);
}

void machines_find(struct machines *m)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char *folder;

	*m = (struct machines){0};
	if (runtime && *runtime) {
		if (asprintf(&folder, "%s/hvstack", runtime) < 0)
			abort();
		add_folder(m, folder);
		free(folder);
	}
	add_folder(m, SYSTEM_FOLDER);
	for (size_t i = 0; i < m->count; i++)
		ask_machine(&m->at[i]);
}

void machines_free(struct machines *m)
{
	for (size_t i = 0; i < m->count; i++) {
		free(m->at[i].socket);
		json_object_put(m->at[i].info);
	}
	free(m->at);
}

/* ---- the one that is meant ------------------------------------------------------------------- */

/* "web1" is /run/hvstack/web1.sock, too. */
static bool is_called(const struct machine *machine, const char *name)
{
	const char *base = strrchr(machine->socket, '/') + 1;
	const size_t len = strlen(name);
	const char *given = string_member(machine->info, "name");
	const char *uuid = string_member(machine->info, "uuid");

	return (given && strcmp(given, name) == 0) || (uuid && strcasecmp(uuid, name) == 0) ||
	       (strncmp(base, name, len) == 0 && (!base[len] || strcmp(base + len, ".sock") == 0));
}

/* NULL: *code is the exit code. */
static const struct machine *choose(const struct machines *m, const char *name, int *code)
{
	const struct machine *found = NULL;
	size_t count = 0;

	for (size_t i = 0; i < m->count; i++)
		if (name ? is_called(&m->at[i], name) : m->at[i].code != EXIT_CONNECT) {
			found = &m->at[i];
			count++;
		}
	if (count == 1)
		return found;
	if (count)
		*code = fail(EXIT_USAGE,
			     "%s: say which one with --machine or --socket ('hvctl list' "
			     "shows them)",
			     name ? "there are several machines of this name"
				  : "there are several machines");
	else if (name)
		*code = fail(EXIT_CONNECT,
			     "there is no machine '%s' ('hvctl list' shows those that run)", name);
	else
		*code = fail(EXIT_CONNECT,
			     "no machine is running here; if its socket is elsewhere, "
			     "name it with --socket");
	return NULL;
}

bool connect_machine(struct ctl *ctl, int *code)
{
	const struct machine *machine;
	struct machines m;

	if (ctl->client)
		return true;
	if (ctl->socket) {
		ctl->client = client_open(ctl->socket, 0, false, code);
		return ctl->client != NULL;
	}
	machines_find(&m);
	machine = choose(&m, ctl->machine, code);
	if (machine)
		ctl->client = client_open(machine->socket, 0, false, code);
	machines_free(&m);
	return ctl->client != NULL;
}

struct json_object *ask(struct ctl *ctl, const char *method, struct json_object *params, int *code)
{
	struct answer answer;

	if (!connect_machine(ctl, code)) {
		json_object_put(params);
		return NULL;
	}
	if (client_call(ctl->client, method, params, NULL, 0, &answer)) {
		*code = EXIT_OK;
		return answer.result;
	}
	*code = fail(answer.code, "%s", answer.message);
	return NULL;
}

int order(struct ctl *ctl, const char *method, struct json_object *params)
{
	int code;
	struct json_object *result = ask(ctl, method, params, &code);

	if (result)
		(void)show_json(ctl, result);
	json_object_put(result);
	return code;
}
