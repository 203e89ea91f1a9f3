/*
 * Network traffic whose every byte is known, so that both ends can check it.
 *
 *   traffic serve PORT                  answers all of the below, until it is killed
 *   traffic tcp HOST PORT BYTES N       N connections at a time: BYTES up, BYTES down, both checked
 *   traffic udp HOST PORT COUNT BYTES   COUNT datagrams of 1 to BYTES bytes, each has to come back
 *   traffic ping HOST FROM TO STEP      ICMP echoes of IP lengths from FROM to TO, unfragmented
 *
 * A client prints a line and exits with 0 if all was right. Networks may lose datagrams and echoes:
 * they are sent again, and counted.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECE = 128 * 1024, MAX_DATAGRAM = 65507, WAIT_MS = 500, TRIES = 40 };

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

/* Bytes [at, at + len) of the stream `seed`; `at` is a multiple of 8. */
static void fill(uint8_t *to, uint64_t seed, uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t word = mix(seed + (at + i) / 8);

		memcpy(to + i, &word, len - i < 8 ? len - i : 8);
	}
}

static void write_all(int fd, const void *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n <= 0)
			err(1, "write");
		data = (const uint8_t *)data + n;
		len -= (size_t)n;
	}
}

static bool read_all(int fd, void *data, size_t len)
{
	while (len) {
		ssize_t n = read(fd, data, len);

		if (n < 0)
			err(1, "read");
		if (n == 0)
			return false;
		data = (uint8_t *)data + n;
		len -= (size_t)n;
	}
	return true;
}

static void send_stream(int fd, uint64_t seed, uint64_t bytes)
{
	uint8_t *piece = malloc(PIECE);

	for (uint64_t at = 0; at < bytes; at += PIECE) {
		size_t len = bytes - at < PIECE ? bytes - at : PIECE;

		fill(piece, seed, at, len);
		write_all(fd, piece, len);
	}
	free(piece);
}

static bool check_stream(int fd, uint64_t seed, uint64_t bytes)
{
	uint8_t *piece = malloc(PIECE), *want = malloc(PIECE);
	bool right = true;

	for (uint64_t at = 0; right && at < bytes; at += PIECE) {
		size_t len = bytes - at < PIECE ? bytes - at : PIECE;

		fill(want, seed, at, len);
		right = read_all(fd, piece, len) && memcmp(piece, want, len) == 0;
	}
	free(piece);
	free(want);
	return right;
}

/* ---- TCP: a header of two numbers, then the stream, then the answer ------------------------- */

struct hello {
	uint64_t seed;
	uint64_t bytes;
};

static void *serve_one(void *arg)
{
	int fd = (int)(intptr_t)arg;
	struct hello hello;

	if (read_all(fd, &hello, sizeof(hello))) {
		uint8_t right = check_stream(fd, hello.seed, hello.bytes);

		write_all(fd, &right, 1);
		if (right)
			send_stream(fd, ~hello.seed, hello.bytes);
	}
	close(fd);
	return NULL;
}

static int bind_to(int type, const char *port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6,
				   .sin6_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET6, type, 0), off = 0, on = 1;

	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)))
		err(1, "port %s", port);
	return fd;
}

static void *serve_udp(void *arg)
{
	int fd = (int)(intptr_t)arg;
	uint8_t *datagram = malloc(MAX_DATAGRAM);

	for (;;) {
		struct sockaddr_storage from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, datagram, MAX_DATAGRAM, 0, (struct sockaddr *)&from,
				     &from_len);

		if (n >= 0)
			sendto(fd, datagram, (size_t)n, 0, (struct sockaddr *)&from, from_len);
	}
	return NULL;
}

static void serve(const char *port)
{
	int tcp = bind_to(SOCK_STREAM, port);
	int udp = bind_to(SOCK_DGRAM, port);
	pthread_t thread;

	listen(tcp, 64);
	pthread_create(&thread, NULL, serve_udp, (void *)(intptr_t)udp);
	for (;;) {
		int fd = accept(tcp, NULL, NULL);

		if (fd >= 0 && pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd) == 0)
			pthread_detach(thread);
	}
}

/* ---- clients ------------------------------------------------------------------------------ */

/* protocol: for IPv4, and for IPv6; 0: the usual one. */
static int connect_to(const char *host, int type, int port, int protocol, int protocol6)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	bool is_v6 = inet_pton(AF_INET6, host, &v6.sin6_addr) == 1;
	int fd;

	if (!is_v6 && inet_pton(AF_INET, host, &v4.sin_addr) != 1)
		errx(2, "%s is not an address", host);
	fd = socket(is_v6 ? AF_INET6 : AF_INET, type, is_v6 ? protocol6 : protocol);
	if (fd < 0 || connect(fd, is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
			      is_v6 ? sizeof(v6) : sizeof(v4)))
		err(1, "%s", host);
	return fd;
}

static const char *target_host;
static int target_port;
static uint64_t stream_bytes;

static void *tcp_one(void *arg)
{
	struct hello hello = {mix((uint64_t)getpid() << 8 | (uintptr_t)arg), stream_bytes};
	int fd = connect_to(target_host, SOCK_STREAM, target_port, 0, 0);
	uint8_t right;

	write_all(fd, &hello, sizeof(hello));
	send_stream(fd, hello.seed, hello.bytes);
	if (!read_all(fd, &right, 1) || !right)
		errx(1, "the server did not get what was sent");
	if (!check_stream(fd, ~hello.seed, hello.bytes))
		errx(1, "what came back is not what was sent");
	close(fd);
	return NULL;
}

static int tcp(unsigned long count)
{
	pthread_t threads[64];

	if (count > 64)
		errx(2, "at most 64 connections");
	for (uintptr_t i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, tcp_one, (void *)i))
			errx(1, "no thread");
	for (unsigned long i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("tcp: %lu connections, %llu bytes each way on each\n", count,
	       (unsigned long long)stream_bytes);
	return 0;
}

/* What was sent comes back, or is sent again. Returns how often it was sent. */
static unsigned int exchange(int fd, const uint8_t *packet, size_t len, size_t compare_from)
{
	static uint8_t reply[65536];

	for (unsigned int tries = 1; tries <= TRIES; tries++) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};

		if (send(fd, packet, len, 0) != (ssize_t)len && errno != ECONNREFUSED &&
		    errno != ENETDOWN && errno != ENETUNREACH && errno != ENOBUFS)
			err(1, "cannot send %zu bytes", len);
		while (poll(&wait, 1, WAIT_MS) > 0) {
			ssize_t n = recv(fd, reply, sizeof(reply), 0);

			/* Late answers to others come first. */
			if (n == (ssize_t)len && memcmp(reply + compare_from, packet + compare_from,
							len - compare_from) == 0)
				return tries;
		}
	}
	errx(1, "%zu bytes never came back", len);
}

static int udp(unsigned long count, unsigned long bytes)
{
	int fd = connect_to(target_host, SOCK_DGRAM, target_port, 0, 0);
	static uint8_t datagram[MAX_DATAGRAM];
	unsigned long again = 0;

	if (bytes < 1 || bytes > MAX_DATAGRAM)
		errx(2, "datagrams have 1 to %d bytes", MAX_DATAGRAM);
	for (unsigned long i = 0; i < count; i++) {
		size_t len = i == 0 ? bytes : 1 + mix(i) % bytes;

		fill(datagram, mix(i), 0, len);
		again += exchange(fd, datagram, len, 0) - 1;
	}
	printf("udp: %lu datagrams, %lu sent again\n", count, again);
	return 0;
}

static int ping(unsigned long from, unsigned long to, unsigned long step)
{
	int fd = connect_to(target_host, SOCK_DGRAM, 0, IPPROTO_ICMP, IPPROTO_ICMPV6);
	bool v6 = strchr(target_host, ':');
	size_t ip_bytes = v6 ? 40 : 20;
	int probe = IP_PMTUDISC_PROBE;
	static uint8_t packet[65536];
	unsigned long again = 0;

	if (v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe, sizeof(probe));
	else
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof(probe));
	if (!step || from < ip_bytes + 8 || to > sizeof(packet))
		errx(2, "lengths are %zu to %zu", ip_bytes + 8, sizeof(packet));
	for (unsigned long len = from; len <= to; len += step) {
		struct icmphdr *h = (void *)packet;

		fill(packet, len, 0, len - ip_bytes);
		memset(h, 0, sizeof(*h));
		h->type = v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
		h->un.echo.sequence = htons((uint16_t)len);
		again += exchange(fd, packet, len - ip_bytes, sizeof(*h)) - 1;
	}
	printf("ping: lengths from %lu to %lu in steps of %lu, %lu sent again\n", from, to, step,
	       again);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (argc == 3 && strcmp(what, "serve") == 0)
		serve(argv[2]);
	if (argc > 3) {
		target_host = argv[2];
		target_port = atoi(argv[3]);
	}
	if (argc == 6 && strcmp(what, "tcp") == 0) {
		stream_bytes = strtoull(argv[4], NULL, 0);
		return tcp(strtoul(argv[5], NULL, 0));
	}
	if (argc == 6 && strcmp(what, "udp") == 0)
		return udp(strtoul(argv[4], NULL, 0), strtoul(argv[5], NULL, 0));
	if (argc == 6 && strcmp(what, "ping") == 0)
		return ping(strtoul(argv[3], NULL, 0), strtoul(argv[4], NULL, 0),
			    strtoul(argv[5], NULL, 0));
	errx(2, "see the beginning of traffic.c");
}
