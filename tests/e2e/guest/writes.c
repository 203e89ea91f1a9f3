/*
 * Writes to a disk from several threads and says what has been flushed; later checks an image of
 * that disk. Everything is computed from a seed, so what was said is all that has to be kept.
 *
 *   writes DISK SEED           prints "flushed THREAD N" (writes up to N are durable) and
 *                              "durable THREAD N" (write N is), until it is killed
 *   writes IMAGE SEED check    reads such lines, prints what is missing, exit status 1 if so
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { THREADS = 4, SECTOR = 512, MAX_SECTORS = 128 };

struct op {
	uint64_t sector; /* of the disk */
	unsigned int count;
	enum { PLAIN, FLUSH, DURABLE } kind;
};

static const char *path;
static uint64_t seed;
static uint64_t region; /* sectors of one thread */

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static struct op nth(unsigned int thread, uint64_t n)
{
	uint64_t r = mix(seed ^ mix(thread * 1000003ULL + n * 64));
	struct op op;

	op.count = 1 + (r & 3 ? r >> 8 & 7 : (r >> 8) % MAX_SECTORS);
	op.sector = thread * region + (r >> 24) % (region - op.count + 1);
	op.kind = (r >> 4 & 7) == 0 ? DURABLE : (r >> 4 & 7) < 3 ? FLUSH : PLAIN;
	return op;
}

static void fill(uint64_t *words, unsigned int thread, uint64_t n, uint64_t sector)
{
	words[0] = seed;
	words[1] = thread;
	words[2] = n;
	for (unsigned int i = 3; i < SECTOR / 8; i++)
		words[i] = mix(seed + thread + n * 0x10001 + sector * 0x100000001 + i);
}

static void *writer(void *arg)
{
	unsigned int thread = (unsigned int)(uintptr_t)arg;
	int fd = open(path, O_WRONLY | O_DIRECT);
	char *buffer;

	if (fd < 0 || posix_memalign((void **)&buffer, 4096, MAX_SECTORS * SECTOR))
		err(1, "%s", path);
	for (uint64_t n = 0;; n++) {
		struct op op = nth(thread, n);
		struct iovec iov = {buffer, op.count * SECTOR};

		for (unsigned int i = 0; i < op.count; i++)
			fill((uint64_t *)(buffer + i * SECTOR), thread, n, op.sector + i);
		if (pwritev2(fd, &iov, 1, (off_t)(op.sector * SECTOR),
			     op.kind == DURABLE ? RWF_DSYNC : 0) != (ssize_t)iov.iov_len)
			err(1, "write");
		if (op.kind == FLUSH && fdatasync(fd))
			err(1, "flush");
		if (op.kind != PLAIN)
			printf("%s %u %llu\n", op.kind == FLUSH ? "flushed" : "durable", thread,
			       (unsigned long long)n);
	}
}

/* What one thread has left in its region. */
static unsigned long check(int fd, unsigned int thread, uint64_t flushed, const uint8_t *durable,
			   uint64_t end)
{
	uint64_t *newest = calloc(region, sizeof(*newest)); /* durable write of a sector, plus 1 */
	unsigned long bad = 0;

	if (!newest)
		err(2, "memory");
	for (uint64_t n = 0; n < end; n++) {
		struct op op = nth(thread, n);

		for (unsigned int i = 0; (n < flushed || durable[n]) && i < op.count; i++)
			newest[op.sector - thread * region + i] = n + 1;
	}
	for (uint64_t s = 0; s < region; s++) {
		uint64_t sector = thread * region + s, have[SECTOR / 8], want[SECTOR / 8];
		struct op op;

		if (pread(fd, have, SECTOR, (off_t)(sector * SECTOR)) != SECTOR)
			err(2, "read");
		memset(want, 0, sizeof(want));
		if (!newest[s] && !memcmp(have, want, SECTOR))
			continue;
		op = nth(thread, have[2]);
		fill(want, thread, have[2], sector);
		if (!memcmp(have, want, SECTOR) && have[2] + 1 >= newest[s] &&
		    op.sector <= sector && sector < op.sector + op.count)
			continue;
		if (bad++ < 5)
			printf("sector %llu: durable write %lld of thread %u, found %s %llu\n",
			       (unsigned long long)sector, (long long)newest[s] - 1, thread,
			       have[0] == seed ? "write" : "no write,",
			       (unsigned long long)have[2]);
	}
	free(newest);
	return bad;
}

static int check_all(int fd)
{
	enum { MOST = 1 << 20 };
	static uint8_t durable[THREADS][MOST];
	uint64_t flushed[THREADS] = {0}, end[THREADS] = {0};
	unsigned long bad = 0, lines = 0;
	unsigned long long n;
	unsigned int thread;
	char word[16];

	while (scanf("%15s %u %llu", word, &thread, &n) == 3) {
		if (thread >= THREADS || n >= MOST)
			errx(2, "strange: %s %u %llu", word, thread, n);
		if (!strcmp(word, "flushed"))
			flushed[thread] = n + 1;
		durable[thread][n] = 1;
		if (n + 1 > end[thread])
			end[thread] = n + 1;
		lines++;
	}
	for (thread = 0; thread < THREADS; thread++)
		bad += check(fd, thread, flushed[thread], durable[thread], end[thread]);
	printf("%lu acknowledgements, %lu sectors lost\n", lines, bad);
	return bad != 0;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	int fd;

	if (argc < 3)
		errx(2, "usage: writes DISK SEED [check]");
	path = argv[1];
	seed = strtoull(argv[2], NULL, 0);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		err(2, "%s", path);
	region = (uint64_t)lseek(fd, 0, SEEK_END) / SECTOR / THREADS;
	if (region < MAX_SECTORS)
		errx(2, "%s is too small", path);
	if (argc > 3)
		return check_all(fd);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, writer, (void *)(uintptr_t)i))
			errx(2, "no thread");
	pthread_join(threads[0], NULL);
	return 2;
}
