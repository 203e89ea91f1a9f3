/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target over files and folders without libFuzzer: the corpus as a test. */
#include "input.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static unsigned runs;

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t size = 0;
	size_t got;

	if (!f) {
		perror(path);
		return -1;
	}
	do {
		data = realloc(data, size + 65536);
		if (!data)
			abort();
		got = fread(data + size, 1, 65536, f);
		size += got;
	} while (got == 65536);
	fclose(f);
	/* Exactly as large as the input: a sanitizer sees one byte of over-read. */
	data = realloc(data, size ? size : 1);
	if (!data)
		abort();
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	runs++;
	return 0;
}

static int run_folder(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int err = 0;

	if (!d) {
		perror(path);
		return -1;
	}
	while (!err && (e = readdir(d)) != NULL) {
		char file[4096];

		if (e->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		err = run_file(file);
	}
	closedir(d);
	return err;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) < 0) {
			perror(argv[i]);
			return 1;
		}
		if ((S_ISDIR(st.st_mode) ? run_folder(argv[i]) : run_file(argv[i])) < 0)
			return 1;
	}
	printf("%u inputs\n", runs);
	return runs ? 0 : 1;
}
