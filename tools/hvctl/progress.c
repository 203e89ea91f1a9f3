/* SPDX-License-Identifier: MIT */
#include "hvctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR 30
#define INTERVAL_NS 100000000

static struct {
	struct timespec shown;
	bool active;
} bar;

static bool is_due(bool last)
{
	struct timespec now;
	long long ns;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = (now.tv_sec - bar.shown.tv_sec) * 1000000000LL + now.tv_nsec - bar.shown.tv_nsec;
	if (!last && bar.active && ns < INTERVAL_NS)
		return false;
	bar.shown = now;
	return true;
}

void show_progress(const char *what, uint64_t done, uint64_t total)
{
	const double part = total ? (double)done / (double)total : 1;
	const int full = part >= 1 ? BAR : (int)(part * BAR);
	char bars[BAR + 1];
	char a[FORMAT_MAX];
	char b[FORMAT_MAX];
	char *text;

	if (!isatty(STDERR_FILENO) || !is_due(done >= total))
		return;
	memset(bars, '#', sizeof(bars) - 1);
	bars[BAR] = '\0';
	text = escaped(what);
	fprintf(stderr, "\r%.30s [%.*s%*s] %3d %%  %s of %s\033[K", text, full, bars, BAR - full,
		"", part >= 1 ? 100 : (int)(part * 100), format_bytes(done, a),
		format_bytes(total, b));
	fflush(stderr);
	free(text);
	bar.active = true;
}

void end_progress(void)
{
	if (bar.active)
		fputc('\n', stderr);
	bar.active = false;
}
