/* SPDX-License-Identifier: MIT */
/* Tables with columns as wide as what is in them. */
#include "hvctl.h"
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define GAP 2

struct table {
	char **cells;
	size_t count;
	size_t columns;
};

static void add(struct table *t, char *cell)
{
	t->cells = reallocarray(t->cells, t->count + 1, sizeof(*t->cells));
	if (!t->cells || !cell)
		abort();
	t->cells[t->count++] = cell;
}

struct table *table_new(const char *const *titles)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	t->columns = 2;
	if (titles) {
		for (t->columns = 0; titles[t->columns]; t->columns++)
			add(t, strdup(titles[t->columns]));
	}
	return t;
}

void table_cell(struct table *t, const char *text)
{
	add(t, escaped(text ? text : "-"));
}

void table_cellf(struct table *t, const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	table_cell(t, text);
}

void table_line(struct table *t, const char *name, const char *value)
{
	if (!value)
		return;
	table_cell(t, name);
	table_cell(t, value);
}

void table_linef(struct table *t, const char *name, const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	table_line(t, name, text);
}

/* In columns of the terminal. */
static int width(const char *text)
{
	int n = 0;

	while (*text) {
		uint32_t c;
		const unsigned len = decode(text, &c);
		const int w = len ? wcwidth((wchar_t)c) : 1;

		n += w < 0 ? 1 : w;
		text += len ? len : 1;
	}
	return n;
}

void table_free(struct table *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
}

void table_print(struct table *t)
{
	int *most = calloc(t->columns, sizeof(*most));

	if (!most)
		abort();
	for (size_t i = 0; i < t->count; i++) {
		const int w = width(t->cells[i]);

		if (w > most[i % t->columns])
			most[i % t->columns] = w;
	}
	for (size_t i = 0; i < t->count; i++) {
		const size_t column = i % t->columns;

		fputs(t->cells[i], stdout);
		if (column == t->columns - 1)
			putchar('\n');
		else
			printf("%*s", most[column] - width(t->cells[i]) + GAP, "");
	}
	free(most);
	table_free(t);
}
