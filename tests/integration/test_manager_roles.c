/* SPDX-License-Identifier: MIT */
/* Who may what on the management socket: the table, the file of rules, and real processes of other
 * users. */
#include "support/manager.h"

#include <errno.h>
#include <event2/event.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct mgr t;

TestSuite(manager_roles, .timeout = 120);

/* ---- the table --------------------------------------------------------------------------------- */

/* Methods, and who may call them: M monitor, B backup, O operator, A administrator. */
static const struct {
	const char *method;
	const char *roles;
} table[] = {
	{"version", "MBOA"},
	{"methods", "MBOA"},
	{"events", "MBOA"},
	{"info", "MBOA"},
	{"devices", "MBOA"},
	{"metrics", "MBOA"},
	{"channels", "MBOA"},
	{"services", "MBOA"},
	{"service-enable", "A"},
	{"heartbeat", "MBOA"},
	{"time-sync", "OA"},
	{"shutdown", "OA"},
	{"kvp-list", "MBOA"},
	{"kvp-get", "MBOA"},
	{"kvp-set", "OA"},
	{"kvp-delete", "OA"},
	{"ip-get", "MBOA"},
	{"ip-set", "OA"},
	{"copy-file-start", "A"},
	{"copy-file-write", "A"},
	{"copy-file-finish", "A"},
	{"copy-file-cancel", "A"},
	{"backup-check", "BA"},
	{"freeze", "BA"},
	{"thaw", "BA"},
};
#define METHODS (sizeof(table) / sizeof(table[0]))

static const struct {
	char letter;
	enum hvs_role role;
	const char *name;
} roles[] = {
	{'M', HVS_ROLE_MONITOR, "monitor"},
	{'B', HVS_ROLE_BACKUP, "backup"},
	{'O', HVS_ROLE_OPERATOR, "operator"},
	{'A', HVS_ROLE_ADMINISTRATOR, "administrator"},
};

static void up_as(enum hvs_role role)
{
	const struct hvs_role_rule rule = {.id = geteuid(), .role = role};
	const struct hvs_manager_config cfg = {.rules = &rule, .rule_count = 1};

	mgr_up(&t, &cfg);
}

static bool says_allowed(struct json_object *answer, const char *method)
{
	struct json_object *all = mgr_result(answer, "methods");
	struct json_object *found;

	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *one = json_object_array_get_idx(all, i);

		cr_assert(json_object_object_get_ex(one, "name", &found));
		if (strcmp(json_object_get_string(found), method) != 0)
			continue;
		cr_assert(json_object_object_get_ex(one, "allowed", &found));
		return json_object_get_boolean(found);
	}
	cr_expect_fail("there is no method %s", method);
	return false;
}

Test(manager_roles, each_role_may_call_what_the_table_says)
{
	for (unsigned r = 0; r < 4; r++) {
		struct json_object *list;
		int fd;

		up_as(roles[r].role);
		fd = mgr_connect(&t);
		list = mgr_call(&t, fd, "methods", NULL);
		cr_expect_eq(json_object_array_length(mgr_result(list, "methods")), METHODS);
		for (unsigned i = 0; i < METHODS; i++) {
			const bool may = strchr(table[i].roles, roles[r].letter) != NULL;
			/* A parameter that no method has: none is done. */
			int code = mgr_code(&t, fd, table[i].method, "{\"no-such\":1}");

			cr_expect_eq(code, may ? HVS_CALL_INVALID_PARAMS : HVS_CALL_DENIED,
				     "%s, %s: %d", roles[r].name, table[i].method, code);
			cr_expect_eq(says_allowed(list, table[i].method), may);
		}
		json_object_put(list);
		close(fd);
		mgr_down(&t);
	}
}

Test(manager_roles, a_denial_names_the_roles_that_may_and_is_logged)
{
	struct json_object *answer;
	struct json_object *found;
	char line[100];
	int fd;

	up_as(HVS_ROLE_MONITOR);
	fd = mgr_connect(&t);
	answer = mgr_call(&t, fd, "shutdown", "{\"action\":\"power-off\"}");
	cr_assert_eq(mgr_error(answer, NULL), HVS_CALL_DENIED);
	cr_assert(json_object_object_get_ex(answer, "error", &found));
	cr_assert(json_object_object_get_ex(found, "data", &found));
	cr_assert(json_object_object_get_ex(found, "needs", &found));
	cr_assert_str_eq(json_object_to_json_string_ext(found, JSON_C_TO_STRING_PLAIN),
			 "[\"operator\",\"administrator\"]");
	json_object_put(answer);
	(void)snprintf(line, sizeof(line), "denied uid %u pid %d (monitor): shutdown\n",
		       (unsigned)geteuid(), (int)getpid());
	cr_assert(strstr(t.log, line) != NULL, "%s", t.log);
	cr_assert_eq(mgr_code(&t, fd, "services", NULL), 0);
	(void)snprintf(line, sizeof(line), "allowed uid %u pid %d (monitor): services\n",
		       (unsigned)geteuid(), (int)getpid());
	cr_assert(strstr(t.log, line) != NULL, "%s", t.log);
	close(fd);
	mgr_down(&t);
}

Test(manager_roles, who_has_no_role_is_told_and_closed)
{
	const struct hvs_role_rule nobody;
	const struct hvs_manager_config cfg = {.rules = &nobody, .rule_count = 0};
	struct json_object *answer;
	int fd;

	mgr_up(&t, &cfg);
	fd = mgr_connect(&t);
	answer = mgr_message(&t, fd);
	cr_assert_eq(mgr_error(answer, NULL), HVS_CALL_DENIED);
	json_object_put(answer);
	cr_assert(mgr_line(&t, fd) == NULL);
	cr_assert(strstr(t.log, "denied uid") != NULL, "%s", t.log);
	close(fd);
	mgr_down(&t);
}

Test(manager_roles, the_first_rule_that_fits_holds)
{
	const struct hvs_role_rule rules[] = {
		{.id = geteuid() + 1, .role = HVS_ROLE_ADMINISTRATOR},
		{.group = true, .id = getegid(), .role = HVS_ROLE_BACKUP},
		{.id = geteuid(), .role = HVS_ROLE_ADMINISTRATOR},
	};
	const struct hvs_manager_config cfg = {.rules = rules, .rule_count = 3};
	struct json_object *answer;
	int fd;

	mgr_up(&t, &cfg);
	fd = mgr_connect(&t);
	answer = mgr_call(&t, fd, "version", NULL);
	cr_assert_str_eq(json_object_get_string(mgr_result(answer, "role")), "backup");
	json_object_put(answer);
	close(fd);
	mgr_down(&t);
}

/* ---- processes of other users ------------------------------------------------------------------ */

/* What a process with these ids is told it is: the child's exit status is 0 if that is `role`. */
static void child(uid_t uid, gid_t gid, gid_t group, const char *role)
{
	static const char request[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\"}\n";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char want[64];
	char line[1024];
	ssize_t n;

	strcpy(address.sun_path, t.path);
	if (setgroups(group ? 1 : 0, &group) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		_exit(2);
	(void)!write(fd, request, sizeof(request) - 1);
	n = read(fd, line, sizeof(line) - 1);
	line[n > 0 ? n : 0] = '\0';
	(void)snprintf(want, sizeof(want), role ? "\"role\":\"%s\"" : "access denied", role);
	_exit(strstr(line, want) ? 0 : 1);
}

/* A user namespace may have one user only. */
static bool has_other_users(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(setgroups(0, NULL) < 0 || setresgid(2003, 2003, 2003) < 0 ||
		      setresuid(1003, 1003, 1003) < 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status == 0;
}

static void is_told(uid_t uid, gid_t gid, gid_t group, const char *role)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		child(uid, gid, group, role);
	MGR_UNTIL(&t, waitpid(pid, &status, WNOHANG) == pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		  "uid %u gid %u group %u is not '%s' (%x): %s", uid, gid, group,
		  role ? role : "denied", (unsigned)status, t.log);
}

Test(manager_roles, the_kernel_says_who_a_process_is)
{
	const bool several = has_other_users();
	const struct hvs_role_rule rules[] = {
		{.id = 1001, .role = HVS_ROLE_OPERATOR},
		{.group = true, .id = 2002, .role = HVS_ROLE_MONITOR},
		{.id = 1003, .role = HVS_ROLE_NONE},
		{.group = true, .id = 2003, .role = HVS_ROLE_BACKUP},
		{.id = 0, .role = HVS_ROLE_ADMINISTRATOR},
	};
	const struct hvs_manager_config cfg = {.rules = rules, .rule_count = 5};

	mgr_up(&t, &cfg);
	if (several) {
		is_told(1001, 1001, 0, "operator");
		is_told(1001, 2002, 0, "operator");
		is_told(1002, 2002, 0, "monitor");
		is_told(1002, 1002, 2002, "monitor"); /* a supplementary group */
		is_told(1002, 1002, 2003, "backup");
		is_told(1003, 2003, 2003, NULL); /* denied by an earlier rule */
		is_told(1002, 1002, 0, NULL);
		is_told(0, 0, 0, "administrator");
	} else {
		struct json_object *answer;
		int fd = mgr_connect(&t);

		answer = mgr_message(&t, fd);
		json_object_put(answer);
		close(fd);
	}
	mgr_down(&t);
}

Test(manager_roles, without_rules_root_and_the_own_user_administer)
{
	struct json_object *answer;
	int fd;

	mgr_up(&t, NULL);
	fd = mgr_connect(&t);
	answer = mgr_call(&t, fd, "version", NULL);
	cr_assert_str_eq(json_object_get_string(mgr_result(answer, "role")), "administrator");
	json_object_put(answer);
	close(fd);
	if (has_other_users())
		is_told(1001, 1001, 0, NULL);
	mgr_down(&t);
}

/* ---- the file ---------------------------------------------------------------------------------- */

static char path[] = "/tmp/hvs-rules-XXXXXX";

static int read_rules(const char *text, struct hvs_role_rule **rules, uint32_t *count, char *why)
{
	FILE *file = fopen(path, "w");
	int err;

	cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
	err = hvs_role_rules_read(path, rules, count, why, 256);
	return err;
}

Test(manager_roles, rules_are_read_from_a_file)
{
	struct hvs_role_rule *rules = NULL;
	uint32_t count = 0;
	char why[256] = "";

	close(mkstemp(path));
	cr_assert_eq(read_rules("[{\"user\":\"root\",\"role\":\"administrator\"},\n"
				" {\"group\":1234,\"role\":\"monitor\"},"
				" {\"user\":77,\"role\":\"none\"}]\n",
				&rules, &count, why),
		     0, "%s", why);
	cr_assert_eq(count, 3);
	cr_assert(!rules[0].group && rules[0].id == 0 && rules[0].role == HVS_ROLE_ADMINISTRATOR);
	cr_assert(rules[1].group && rules[1].id == 1234 && rules[1].role == HVS_ROLE_MONITOR);
	cr_assert(!rules[2].group && rules[2].id == 77 && rules[2].role == HVS_ROLE_NONE);
	free(rules);
	cr_assert_eq(read_rules("[]", &rules, &count, why), 0);
	cr_assert_eq(count, 0);
	cr_assert(rules != NULL, "nobody is not everybody");
	free(rules);
	unlink(path);
}

static const struct {
	const char *text;
	const char *words;
} wrong[] = {
	{"", "not JSON"},
	{"[{]", "not JSON"},
	{"[] []", "not JSON"},
	{"{}", "an array"},
	{"null", "an array"},
	{"[7]", "rule 1: an object"},
	{"[{\"user\":0}]", "rule 1: 'role'"},
	{"[{\"role\":\"monitor\"}]", "one of 'user' and 'group'"},
	{"[{\"user\":0,\"group\":0,\"role\":\"monitor\"}]", "one of 'user' and 'group'"},
	{"[{\"user\":0,\"role\":\"king\"}]", "rule 1: 'role'"},
	{"[{\"user\":0,\"role\":8}]", "rule 1: 'role'"},
	{"[{\"user\":-1,\"role\":\"monitor\"}]", "there is no user -1"},
	{"[{\"user\":4294967295,\"role\":\"monitor\"}]", "there is no user 4294967295"},
	{"[{\"user\":99999999999999999999,\"role\":\"monitor\"}]", "there is no user"},
	{"[{\"user\":\"no such user\",\"role\":\"monitor\"}]", "there is no user 'no such user'"},
	{"[{\"group\":\"no such\",\"role\":\"monitor\"}]", "there is no group 'no such'"},
	{"[{\"user\":true,\"role\":\"monitor\"}]", "a name or a number"},
	{"[{\"user\":0,\"role\":\"monitor\"},{\"user\":0,\"role\":\"monitor\",\"x\":1}]",
	 "rule 2: there is something besides"},
};

Test(manager_roles, what_is_wrong_with_a_file_of_rules_is_said)
{
	struct hvs_role_rule *rules = NULL;
	uint32_t count = 0;
	char why[256];

	close(mkstemp(path));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		cr_expect_eq(read_rules(wrong[i].text, &rules, &count, why), -EINVAL, "%s",
			     wrong[i].text);
		cr_expect(strstr(why, wrong[i].words) != NULL, "%s: %s", wrong[i].text, why);
		cr_expect(rules == NULL);
	}
	unlink(path);
	cr_assert_eq(hvs_role_rules_read(path, &rules, &count, why, sizeof(why)), -ENOENT);
	cr_assert(strstr(why, "No such file") != NULL, "%s", why);
	cr_assert_eq(hvs_role_rules_read(path, &rules, &count, NULL, 0), -ENOENT);
	cr_assert_eq(hvs_role_rules_read(NULL, &rules, &count, why, sizeof(why)), -EINVAL);
}
