/* SPDX-License-Identifier: MIT */
/* Fault rules as text. */
#include "host/blk_fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A part of the text. */
struct slice {
	const char *at;
	size_t len;
};

struct parser {
	struct slice rest;
	unsigned rule; /* counted from 1 */
	char *why;
	size_t why_size;
};

/* What a rule has said so far, beside what is in struct hvs_fault_rule. */
struct seen {
	bool status;
	bool hang;
	bool torn;
	bool lost;
};

struct name {
	const char *text;
	unsigned value;
};

static const struct name statuses[] = {
	{"io", HVS_BLK_IO_ERROR},
	{"range", HVS_BLK_RANGE},
	{"read-only", HVS_BLK_READ_ONLY},
	{"no-space", HVS_BLK_NO_SPACE},
	{"gone", HVS_BLK_GONE},
	{"aborted", HVS_BLK_ABORTED},
	{"unsupported", HVS_BLK_UNSUPPORTED},
};

static const struct name ops[] = {
	{"read", HVS_BLK_READ},   {"write", HVS_BLK_WRITE},         {"flush", HVS_BLK_FLUSH},
	{"unmap", HVS_BLK_UNMAP}, {"zeroes", HVS_BLK_WRITE_ZEROES}, {"status", HVS_BLK_LBA_STATUS},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

__attribute__((format(printf, 3, 4))) static int wrong(const struct parser *p, struct slice what,
						       const char *format, ...)
{
	int n = snprintf(p->why, p->why_size, "rule %u: '%.*s': ", p->rule,
			 what.len < 32 ? (int)what.len : 32, what.at);
	va_list args;

	va_start(args, format);
	if (n >= 0 && (size_t)n < p->why_size)
		vsnprintf(p->why + n, p->why_size - (size_t)n, format, args);
	va_end(args);
	return -EINVAL;
}

static struct slice trimmed(struct slice s)
{
	while (s.len > 0 && (*s.at == ' ' || *s.at == '\t' || *s.at == '\n')) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 &&
	       (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t' || s.at[s.len - 1] == '\n'))
		s.len--;
	return s;
}

/* What stands before the separator, or all if there is none; *rest is what stands behind it. */
static struct slice cut(struct slice *rest, char separator)
{
	const char *end = rest->len ? memchr(rest->at, separator, rest->len) : NULL;
	struct slice first = *rest;

	if (end) {
		first.len = (size_t)(end - rest->at);
		rest->len -= first.len + 1;
		rest->at = end + 1;
	} else {
		rest->at += rest->len;
		rest->len = 0;
	}
	return trimmed(first);
}

static bool is(struct slice s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

static const struct name *find(const struct name *names, size_t count, struct slice s)
{
	for (size_t i = 0; i < count; i++)
		if (is(s, names[i].text))
			return &names[i];
	return NULL;
}

static bool number(struct slice s, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)(s.at[i] - '0');

		if (digit > 9 || value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}

/* A number with K, M, G or T behind it. */
static bool bytes(struct slice s, uint64_t *out)
{
	static const char units[] = "KMGT";
	const char *unit = s.len ? memchr(units, s.at[s.len - 1], sizeof(units) - 1) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;

	if (unit)
		s.len--;
	if (!number(s, (uint64_t)INT64_MAX >> shift, out))
		return false;
	*out <<= shift;
	return true;
}

static int parse_ops(struct parser *p, struct slice value, struct hvs_fault_rule *rule)
{
	while (value.len > 0) {
		struct slice one = cut(&value, '+');
		const struct name *op = find(ops, COUNT(ops), one);

		if (!op)
			return wrong(p, one,
				     "no operation (read, write, flush, unmap, zeroes, status)");
		rule->ops |= 1u << op->value;
	}
	return 0;
}

static int parse_range(struct parser *p, struct slice value, struct hvs_fault_rule *rule)
{
	struct slice end = value;
	struct slice from = cut(&end, '-');
	uint64_t until;

	if (!bytes(from, &rule->offset) || !bytes(trimmed(end), &until))
		return wrong(p, value, "a range is FROM-END in bytes, like 1M-2M");
	if (until <= rule->offset)
		return wrong(p, value, "the range is empty");
	rule->len = until - rule->offset;
	return 0;
}

static int parse_chance(struct parser *p, struct slice value, struct hvs_fault_rule *rule)
{
	struct slice of = value;
	uint64_t n;

	if (!is(cut(&of, '/'), "1") || !number(trimmed(of), UINT32_MAX, &n) || n == 0)
		return wrong(p, value, "a chance is 1/N, like 1/100");
	rule->one_in = (uint32_t)n;
	return 0;
}

/* KEY=VALUE */
static int parse_pair(struct parser *p, struct slice key, struct slice value,
		      struct hvs_fault_rule *rule, struct seen *seen)
{
	uint64_t n = 0;

	if (value.len == 0)
		return wrong(p, key, "what it is set to is missing");
	if (is(key, "op"))
		return parse_ops(p, value, rule);
	if (is(key, "range"))
		return parse_range(p, value, rule);
	if (is(key, "chance"))
		return parse_chance(p, value, rule);
	if (is(key, "error")) {
		const struct name *status = find(statuses, COUNT(statuses), value);

		if (!status)
			return wrong(p, value,
				     "no error (io, range, read-only, no-space, gone, "
				     "aborted, unsupported)");
		rule->status = (enum hvs_blk_status)status->value;
		seen->status = true;
		return 0;
	}
	if (is(key, "torn")) {
		seen->torn = true;
		return bytes(value, &rule->bytes)
			       ? 0
			       : wrong(p, value, "torn takes bytes, like 512 or 4K");
	}
	if (is(key, "delay")) {
		if (!number(value, UINT32_MAX, &n) || n == 0)
			return wrong(p, value, "delay takes milliseconds, 1 or more");
		rule->delay_ms = (uint32_t)n;
		return 0;
	}
	if (is(key, "times") || is(key, "skip")) {
		if (!number(value, UINT64_MAX, &n) || n == 0)
			return wrong(p, value, "times and skip take a number, 1 or more");
		*(is(key, "times") ? &rule->times : &rule->skip) = n;
		return 0;
	}
	return wrong(p, key,
		     "no such thing (error, torn, lost, hang, delay, op, range, skip, "
		     "times, chance)");
}

/* What the parts of a rule are together. */
static int conclude(struct parser *p, struct slice text, struct hvs_fault_rule *rule,
		    const struct seen *seen)
{
	if (seen->hang && (seen->status || seen->torn || rule->delay_ms))
		return wrong(p, text, "what hangs has no error, is not torn and not late");
	if (seen->lost && (!seen->torn || seen->status))
		return wrong(p, text, "lost goes with torn, and not with error");
	if (rule->len && rule->ops == 1u << HVS_BLK_FLUSH)
		return wrong(p, text, "a flush has no range");
	if (seen->hang) {
		rule->action = HVS_FAULT_HANG;
	} else if (seen->torn) {
		rule->action = HVS_FAULT_TORN;
		if (!seen->status && !seen->lost)
			rule->status = HVS_BLK_IO_ERROR;
	} else if (seen->status) {
		rule->action = HVS_FAULT_ERROR;
	} else if (!rule->delay_ms) {
		return wrong(p, text, "says not what happens (error, torn, hang, delay)");
	}
	return 0;
}

static int parse_rule(struct parser *p, struct slice text, struct hvs_fault_rule *rule)
{
	struct seen seen = {0};
	struct slice rest = text;
	int err = 0;

	*rule = (struct hvs_fault_rule){HVS_FAULT_RULE_INIT};
	while (rest.len > 0 && !err) {
		struct slice part = cut(&rest, ',');
		struct slice value = part;
		struct slice key = cut(&value, '=');

		if (part.len == 0)
			err = wrong(p, text, "there is a comma too many");
		else if (is(part, "hang"))
			seen.hang = true;
		else if (is(part, "lost"))
			seen.lost = true;
		else
			err = parse_pair(p, key, trimmed(value), rule, &seen);
	}
	return err ? err : conclude(p, text, rule, &seen);
}

/* Returns how many, or a negative errno. */
static int parse_all(struct parser *p, struct hvs_fault_rule *rules)
{
	int count = 0;

	while (p->rest.len > 0) {
		struct slice text = cut(&p->rest, ';');
		int err;

		p->rule++;
		if (text.len == 0)
			continue;
		if (count == (int)HVS_FAULT_MAX_RULES) {
			(void)wrong(p, text, "more than %u rules", HVS_FAULT_MAX_RULES);
			return -E2BIG;
		}
		err = parse_rule(p, text, &rules[count]);
		if (err)
			return err;
		count++;
	}
	return count;
}

int hvs_fault_parse(struct hvs_fault *fault, const char *text, char *why, size_t why_size)
{
	struct hvs_fault_rule rules[HVS_FAULT_MAX_RULES];
	struct parser p = {.why = why, .why_size = why_size};
	int count;
	int err;

	if (!text || !why || !why_size)
		return -EINVAL;
	why[0] = '\0';
	p.rest = (struct slice){text, strlen(text)};
	count = parse_all(&p, rules);
	if (count < 0 || !fault)
		return count < 0 ? count : 0;
	err = hvsi_fault_add_all(fault, rules, (uint32_t)count);
	if (err)
		snprintf(why, why_size, "with those that are there, more than %u rules",
			 HVS_FAULT_MAX_RULES);
	return err;
}
