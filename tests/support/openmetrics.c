/* SPDX-License-Identifier: MIT */
#include "support/openmetrics.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SEEN 4096

/* Names and samples, as they were, to find what is there twice. */
static char *seen[MAX_SEEN];
static unsigned seen_count;

static struct {
	char name[100];
	char type[16];
	bool unit;
	bool help;
	bool samples;
	/* Of a histogram's buckets. */
	double bound; /* -1: the first is to come */
	double count;
	bool whole; /* the last was +Inf */
} family;

static void note(const char *start, size_t len)
{
	char *copy = strndup(start, len);

	for (unsigned i = 0; i < seen_count; i++)
		cr_assert_str_neq(seen[i], copy, "it is there twice");
	cr_assert_lt(seen_count, MAX_SEEN);
	seen[seen_count++] = copy;
}

static size_t name_len(const char *text)
{
	size_t n = 0;

	cr_assert(isalpha((unsigned char)*text) || *text == '_', "no name: %s", text);
	while (isalnum((unsigned char)text[n]) || text[n] == '_')
		n++;
	return n;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void begin_family(const char *line, const char *name, size_t len)
{
	const char *type = name + len + 1;
	static const char *const types[] = {"counter", "gauge", "histogram", "info"};
	bool known = false;

	cr_assert(!*family.name || family.samples || family.help, "%s has nothing", family.name);
	cr_assert_lt(len, sizeof(family.name));
	note(line, (size_t)(type - line));
	memset(&family, 0, sizeof(family));
	memcpy(family.name, name, len);
	family.bound = -1;
	family.whole = true;
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		known |= strcmp(types[i], type) == 0;
	cr_assert(known, "type '%s'", type);
	(void)snprintf(family.type, sizeof(family.type), "%s", type);
}

static void check_unit(const char *unit)
{
	const size_t len = strlen(unit);
	const size_t all = strlen(family.name);

	cr_assert(!family.unit && !family.samples, "UNIT of %s", family.name);
	cr_assert(all > len + 1 && family.name[all - len - 1] == '_' &&
			  strcmp(family.name + all - len, unit) == 0,
		  "%s does not end in its unit", family.name);
	family.unit = true;
}

static void check_help(const char *help)
{
	cr_assert(!family.help && !family.samples && *help, "HELP of %s", family.name);
	for (; (help = strchr(help, '\\')); help += 2)
		cr_assert(help[1] == 'n' || help[1] == '\\' || help[1] == '"', "%s", help);
	family.help = true;
}

static void check_comment(const char *line)
{
	const char *name = line + sizeof("# TYPE ") - 1;
	size_t len;

	cr_assert_gt(strlen(line), sizeof("# TYPE ") - 1, "%s", line);
	len = name_len(name);
	cr_assert_eq(name[len], ' ', "%s", line);
	if (strncmp(line, "# TYPE ", 7) == 0) {
		begin_family(line, name, len);
		return;
	}
	cr_assert(strlen(family.name) == len && strncmp(name, family.name, len) == 0,
		  "not of this family: %s", line);
	if (strncmp(line, "# UNIT ", 7) == 0)
		check_unit(name + len + 1);
	else if (strncmp(line, "# HELP ", 7) == 0)
		check_help(name + len + 1);
	else
		cr_assert_fail("%s", line);
}

/* What follows the closing quote. */
static const char *skip_value(const char *at)
{
	cr_assert_eq(*at, '"', "%s", at);
	for (at++; *at != '"'; at++) {
		cr_assert_neq(*at, '\0', "a label's value does not end");
		if (*at == '\\') {
			at++;
			cr_assert(*at == 'n' || *at == '\\' || *at == '"', "escape of %c", *at);
		}
	}
	return at + 1;
}

static const char *skip_labels(const char *at)
{
	if (*at != '{')
		return at;
	do {
		at++;
		at += name_len(at);
		cr_assert_eq(*at, '=', "%s", at);
		at = skip_value(at + 1);
	} while (*at == ',');
	cr_assert_eq(*at, '}', "%s", at);
	return at + 1;
}

/* Buckets go up, in bounds and counts, to +Inf; then come _count, which is the same, and _sum. */
static void check_histogram(const char *line, const char *suffix, double value)
{
	static const char le[] = ",le=\"";
	const char *at;

	if (strcmp(suffix, "_bucket") != 0) {
		cr_assert(family.whole, "no bucket +Inf before %s", line);
		cr_assert(strcmp(suffix, "_count") != 0 || value == family.count, "%s", line);
		family.bound = -1;
		return;
	}
	at = strstr(line, le);
	cr_assert_not_null(at, "%s", line);
	at += sizeof(le) - 1;
	family.whole = strncmp(at, "+Inf\"", 5) == 0;
	if (family.bound >= 0)
		cr_assert(value >= family.count &&
				  (family.whole || strtod(at, NULL) > family.bound),
			  "%s", line);
	family.bound = family.whole ? family.bound : strtod(at, NULL);
	family.count = value;
}

static const char *suffix_of(const char *line)
{
	static const char *const parts[] = {"_bucket", "_count", "_sum"};
	const size_t base = strlen(family.name);

	if (strcmp(family.type, "counter") == 0)
		return "_total";
	if (strcmp(family.type, "info") == 0)
		return "_info";
	if (strcmp(family.type, "histogram") != 0)
		return "";
	for (unsigned i = 0; strlen(line) > base && i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strncmp(line + base, parts[i], strlen(parts[i])) == 0)
			return parts[i];
	return "_bucket"; /* the check fails */
}

static void check_sample(const char *line)
{
	const char *suffix = suffix_of(line);
	const size_t base = strlen(family.name);
	const size_t len = name_len(line);
	const char *end = skip_labels(line + len);
	char *rest;
	double value;

	cr_assert(base && strncmp(line, family.name, base) == 0 && len == base + strlen(suffix) &&
			  strncmp(line + base, suffix, strlen(suffix)) == 0,
		  "'%s' is no sample of '%s'", line, family.name);
	note(line, (size_t)(end - line));
	cr_assert(end[0] == ' ' && isdigit((unsigned char)end[1]), "%s", line);
	value = strtod(end + 1, &rest);
	cr_assert_eq(*rest, '\0', "%s", line);
	cr_assert(value == 1 || strcmp(family.type, "info") != 0, "%s", line);
	if (strcmp(family.type, "histogram") == 0)
		check_histogram(line, suffix, value);
	family.samples = true;
}

/* ---- all ------------------------------------------------------------------------------------- */

void openmetrics_check(const char *text)
{
	char *copy = strdup(text);
	char *at = copy;
	char *end;

	memset(&family, 0, sizeof(family));
	while (strcmp(at, "# EOF\n") != 0) {
		end = strchr(at, '\n');
		cr_assert_not_null(end, "no # EOF");
		*end = '\0';
		if (*at == '#')
			check_comment(at);
		else
			check_sample(at);
		at = end + 1;
	}
	free(copy);
	while (seen_count)
		free(seen[--seen_count]);
}

double openmetrics_value(const char *text, const char *sample)
{
	const char *at = text;
	const size_t len = strlen(sample);

	while ((at = strstr(at, sample)) && (at[len] != ' ' || (at != text && at[-1] != '\n')))
		at += len;
	cr_assert_not_null(at, "no %s in %s", sample, text);
	return strtod(at + len, NULL);
}
