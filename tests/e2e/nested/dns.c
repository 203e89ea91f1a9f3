/* A name server for L1: every name is 10.0.2.2, the host of a user-mode network. dns ADDRESS */
#include <arpa/inet.h>
#include <err.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	static const uint8_t answer[] = {
		0xc0, 12,         /* the name of the question */
		0,    1,  0,  1,  /* A, IN */
		0,    0,  0,  60, /* seconds */
		0,    4,  10, 0,  2, 2,
	};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(53)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint8_t message[512 + sizeof(answer)];

	if (argc != 2 || inet_pton(AF_INET, argv[1], &at.sin_addr) != 1)
		errx(2, "dns ADDRESS");
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)))
		err(1, "port 53");
	for (;;) {
		struct sockaddr_in from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, message, 512, 0, (struct sockaddr *)&from, &from_len);
		size_t end = 12; /* of the question */

		while (n > 0 && end < (size_t)n && message[end])
			end += message[end] + 1u;
		end += 5;
		if (n < 0 || end > (size_t)n)
			continue;
		message[2] = 0x81; /* an answer, recursion desired */
		message[3] = 0x80;
		memset(message + 6, 0, 6);
		/* Type A gets an address, others (AAAA) get nothing. */
		if (message[end - 3] == 1) {
			message[7] = 1;
			memcpy(message + end, answer, sizeof(answer));
			end += sizeof(answer);
		}
		sendto(fd, message, end, 0, (struct sockaddr *)&from, from_len);
	}
}
