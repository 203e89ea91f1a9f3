/* SPDX-License-Identifier: MIT */
/* Where hvrun listens if it is only told the machine's name. */
#include "control_path.h"
#include "report.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char runtime[] = "/tmp/hvs-runtime-XXXXXX";
static char folder[64];

static void setup(void)
{
	cr_assert_not_null(mkdtemp(runtime));
	snprintf(folder, sizeof(folder), "%s/hvstack", runtime);
}

static void teardown(void)
{
	(void)rmdir(folder);
	cr_assert_eq(rmdir(runtime), 0);
}

TestSuite(control_path, .init = setup, .fini = teardown, .timeout = 60);

Test(control_path, a_users_folder_is_made_for_nobody_else)
{
	char path[CONTROL_PATH];
	char want[CONTROL_PATH];
	struct stat st;

	umask(0777);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(control_path(false, runtime, "web1", path), 0, "made, and there");
		snprintf(want, sizeof(want), "%s/web1.sock", folder);
		cr_assert_str_eq(path, want);
		cr_assert_eq(stat(folder, &st), 0);
		cr_assert_eq(st.st_mode & 0777, 0700);
	}
}

Test(control_path, without_a_users_folder_there_is_no_socket)
{
	char path[CONTROL_PATH] = "x";

	cr_assert_eq(control_path(false, NULL, "web1", path), 0);
	cr_assert_str_empty(path);
	cr_assert_eq(control_path(false, "", "web1", path), 0);
	cr_assert_str_empty(path);
}

Test(control_path, names_that_no_socket_can_have_are_refused)
{
	char path[CONTROL_PATH];
	char name[CONTROL_PATH];

	cr_assert_eq(control_path(false, runtime, "../web1", path), HVRUN_USAGE);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	cr_assert_eq(control_path(false, runtime, name, path), HVRUN_USAGE);
	cr_assert_eq(access(folder, F_OK), -1);
}

Test(control_path, a_folder_that_cannot_be_made_is_a_usage_error)
{
	char path[CONTROL_PATH];

	cr_assert_eq(control_path(false, "/dev/null", "web1", path), HVRUN_USAGE);
}
