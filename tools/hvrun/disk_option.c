/* SPDX-License-Identifier: MIT */
#include "disk_option.h"

#include "option_text.h"

#include <stdio.h>
#include <string.h>

#define MAX_LUN 254

static bool set_flag(struct disk_option *disk, const char *name)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {{"ro", &disk->read_only},
		     {"share", &disk->shared},
		     {"direct", &disk->direct},
		     {"threads", &disk->threads}};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strcmp(name, flags[i].name) == 0) {
			*flags[i].flag = true;
			return true;
		}
	return false;
}

static bool set_string(struct disk_option *disk, const char *name, char *value)
{
	const struct {
		const char *name;
		char **string;
	} strings[] = {{"id", &disk->id},
		       {"format", &disk->format},
		       {"serial", &disk->serial},
		       {"fault", &disk->fault}};

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		if (strcmp(name, strings[i].name) == 0) {
			*strings[i].string = value;
			return *value || strings[i].string == &disk->fault;
		}
	return false;
}

static bool set_value(struct disk_option *disk, const char *name, char *value)
{
	uint64_t n;

	if (strcmp(name, "lun") == 0 && parse_number(value, MAX_LUN, &n))
		disk->lun = (int)n;
	else if (strcmp(name, "controller") == 0 &&
		 parse_number(value, HVRUN_MAX_CONTROLLERS - 1, &n))
		disk->controller = (uint32_t)n;
	else if (strcmp(name, "ide") == 0 && strlen(value) == 3 && value[1] == ':' &&
		 strchr("01", value[0]) && strchr("01", value[2]))
		disk->ide = (value[0] - '0') * 2 + value[2] - '0';
	else if (strcmp(name, "block") == 0 && parse_number(value, 4096, &n) &&
		 (n == 512 || n == 4096))
		disk->block_size = (uint32_t)n;
	else if (strcmp(name, "iops") == 0 && parse_size(value, &n) && n)
		disk->iops = n;
	else if (strcmp(name, "bps") == 0 && parse_size(value, &n) && n)
		disk->bytes_per_sec = n;
	else
		return set_string(disk, name, value);
	return true;
}

bool disk_option_parse(char *text, bool optical, struct disk_option *out, char *why,
		       unsigned why_len)
{
	char *rest = text;
	char *file = next_part(&rest);

	*out = (struct disk_option){
		.file = *file ? file : NULL, .optical = optical, .lun = -1, .ide = -1};
	if (!out->file && !optical) {
		snprintf(why, why_len, "no file is given");
		return false;
	}
	while (rest) {
		/* What a fault specification is has commas of its own. */
		bool is_fault = strncmp(rest, "fault=", 6) == 0;
		char *name = is_fault ? rest : next_part(&rest);
		char *value = strchr(name, '=');

		if (is_fault)
			rest = NULL;
		if (value)
			*value++ = '\0';
		if (value ? !set_value(out, name, value) : !set_flag(out, name)) {
			snprintf(why, why_len,
				 "'%s%s%s' is not an option of a disk, or its value is wrong", name,
				 value ? "=" : "", value ? value : "");
			return false;
		}
	}
	return true;
}
