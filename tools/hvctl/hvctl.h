/* SPDX-License-Identifier: MIT */
/* What the commands of hvctl share. */
#ifndef HVCTL_H
#define HVCTL_H

#include <getopt.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_CONNECT = 3,
	EXIT_DENIED = 4,
	EXIT_NOT_READY = 5, /* the guest is not there, or does not answer */
	EXIT_GUEST = 6,     /* it has answered with an error */
};

/* Codes of errors, of docs/management.md. */
enum error_code {
	ERROR_INVALID_PARAMS = -32602,
	ERROR_METHOD_NOT_FOUND = -32601,
	ERROR_DENIED = 1,
	ERROR_NOT_READY = 5,
	ERROR_GUEST = 6,
	ERROR_GUEST_TIMEOUT = 7,
	ERROR_GONE = 8,
	ERROR_TOO_MANY = 11,
};

struct client;
struct command;

struct ctl {
	const struct command *command;
	const char *socket;  /* --socket */
	const char *machine; /* --machine */
	bool json;
	bool help; /* is all that is wanted */
	struct client *client;
};

struct command {
	const char *name;      /* one word or two */
	const char *arguments; /* for its usage */
	const char *summary;
	const char *more; /* of --help; may be NULL */
	/* argv[0] is its name, for messages. Returns an exit code. */
	int (*run)(struct ctl *ctl, int argc, char **argv);
};

/* Lists that end with a command without a name. */
extern const struct command backup_commands[];
extern const struct command copy_commands[];
extern const struct command disk_commands[];
extern const struct command event_commands[];
extern const struct command info_commands[];
extern const struct command ip_commands[];
extern const struct command kvp_commands[];
extern const struct command channel_commands[];
extern const struct command net_commands[];
extern const struct command power_commands[];
extern const struct command service_commands[];
extern const struct command vss_commands[];

/* ---- command line ---------------------------------------------------------------------------- */

#define COMMON_OPTIONS                                                                             \
	{"help", no_argument, NULL, 'h'}, {"json", no_argument, NULL, 'j'},                        \
		{"machine", required_argument, NULL, 'm'},                                         \
		{"socket", required_argument, NULL, 's'},                                          \
	{                                                                                          \
		NULL, 0, NULL, 0                                                                   \
	}

#define OPTION_END (-1)
#define OPTION_WRONG (-2) /* the user has been told */

/* The next of a command's own options, whose numbers are above 255: the common ones are dealt with.
 * longopts ends with COMMON_OPTIONS. */
int next_option(struct ctl *ctl, int argc, char **argv, const struct option *longopts);
/* The rest: all options, and from `min` to `max` arguments. False: *code is the exit code. */
bool take_arguments(struct ctl *ctl, int argc, char **argv, const struct option *longopts, int min,
		    int max, int *code);
/* Having had OPTION_END: are there as many arguments? */
bool check_arguments(struct ctl *ctl, int argc, int min, int max, int *code);
/* For commands that have only common options. */
extern const struct option common_options[];

/* A number of seconds, as milliseconds; maybe with a fraction. False: the user has been told. */
bool parse_seconds(const char *option, const char *text, uint64_t *ms);
/* A number of bytes, maybe with K, M, G or T. */
bool parse_bytes(const char *option, const char *text, uint64_t *bytes);
/* Not relative to where the server runs. To be freed. */
char *absolute_path(const char *path);

/* Print "hvctl: ..." and return the code. Control characters are escaped. */
__attribute__((format(printf, 2, 3))) int fail(int code, const char *format, ...);
__attribute__((format(printf, 1, 2))) void note(const char *format, ...);

/* ---- the server ------------------------------------------------------------------------------ */

/* Told of each event while an answer is awaited. */
typedef void (*event_fn)(void *arg, struct json_object *params);

/* NULL: *code is the exit code, and if not quiet, the user has been told. timeout_s 0: none. */
struct client *client_open(const char *path, unsigned timeout_s, bool quiet, int *code);
void client_close(struct client *client);
void client_set_events(struct client *client, event_fn fn, void *arg);

struct answer {
	struct json_object *result; /* an object, to be put; NULL: an error */
	int code;                   /* of the exit */
	bool ended;                 /* the server has closed the connection */
	int error;                  /* code of the server's error; 0: of another kind */
	char message[600];
};

/* Ask, and wait for the answer. params becomes the function's; NULL: none. False: an error. */
bool client_call(struct client *client, const char *method, struct json_object *params,
		 const int *fds, unsigned fd_count, struct answer *answer);
/* Have events told until the connection ends. */
void client_follow(struct client *client, struct answer *answer);
/* Wait until the server ends the connection, up to timeout_ms (0: for ever). False: it did not. */
bool client_wait_end(struct client *client, uint64_t timeout_ms);
int client_fd(const struct client *client);

/* The machine that was asked for; connects. False: *code is the exit code. */
bool connect_machine(struct ctl *ctl, int *code);
/* Connects if need be, asks, and says what went wrong. NULL: *code is the exit code. */
struct json_object *ask(struct ctl *ctl, const char *method, struct json_object *params, int *code);
/* The same for methods that return nothing that people want to know. Returns the exit code. */
int order(struct ctl *ctl, const char *method, struct json_object *params);

/* ---- JSON ------------------------------------------------------------------------------------ */

struct json_object *new_params(void);
/* NULL is left out. */
void put_string(struct json_object *params, const char *name, const char *text);
void put_number(struct json_object *params, const char *name, uint64_t number);
void put_bool(struct json_object *params, const char *name, bool value);

/* Members; '_' in the name also stands for '-'. NULL, or what is given, if it is not of that
 * type. */
struct json_object *member(struct json_object *object, const char *name);
struct json_object *object_member(struct json_object *object, const char *name);
struct json_object *array_member(struct json_object *object, const char *name);
const char *string_member(struct json_object *object, const char *name);
uint64_t number_member(struct json_object *object, const char *name, uint64_t otherwise);
bool bool_member(struct json_object *object, const char *name);
size_t array_length(struct json_object *array); /* NULL: 0 */

/* ---- output ---------------------------------------------------------------------------------- */

/* What the server, and the guest behind it, say is printed by these alone: no control
 * characters. */
void print_text(const char *text);
void print_lines(const char *text);               /* line feeds and tabs remain */
void print_json(struct json_object *object);      /* on lines, indented */
void print_json_line(struct json_object *object); /* on one */
/* To be freed. */
char *escaped(const char *text);

struct table;
struct table *table_new(const char *const *titles); /* ends with NULL */
/* The next cell; NULL: "-". Copied. */
void table_cell(struct table *table, const char *text);
__attribute__((format(printf, 2, 3))) void table_cellf(struct table *table, const char *format,
						       ...);
/* Print and free. Without titles it is one of names and values. */
void table_print(struct table *table);
void table_free(struct table *table);
/* A line of a table without titles; nothing if value is NULL. */
void table_line(struct table *table, const char *name, const char *value);
__attribute__((format(printf, 3, 4))) void table_linef(struct table *table, const char *name,
						       const char *format, ...);

/* A command without arguments that prints an array of the answer, each member in a row. */
struct list {
	const char *method;
	const char *array;
	const char *const *titles; /* ends with NULL */
	void (*row)(struct table *table, struct json_object *one);
};
int list_command(struct ctl *ctl, int argc, char **argv, const struct list *list);

#define FORMAT_MAX 40
const char *format_bytes(uint64_t bytes, char text[FORMAT_MAX]);
const char *format_ms(uint64_t ms, char text[FORMAT_MAX]);

/* A bar on the terminal's last line; nothing where standard error is no terminal. */
void show_progress(const char *what, uint64_t done, uint64_t total);
void end_progress(void);

/* Result as JSON if that is wanted; then true. */
bool show_json(const struct ctl *ctl, struct json_object *result);

#endif
