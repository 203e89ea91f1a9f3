/* Sends one line to hvrun's control socket and prints the answer: control SOCKET JSON */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char line[65536];
	FILE *socket;

	if (argc != 3 || strlen(argv[1]) >= sizeof(addr.sun_path))
		errx(2, "usage: control SOCKET JSON");
	strcpy(addr.sun_path, argv[1]);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		err(1, "%s", argv[1]);
	if (dprintf(fd, "%s\n", argv[2]) < 0)
		err(1, "write");
	socket = fdopen(fd, "r");
	if (!socket)
		err(1, "fdopen");
	/* Events may come before the answer. */
	while (fgets(line, sizeof(line), socket)) {
		if (!strstr(line, "\"method\":\"event\"")) {
			fputs(line, stdout);
			return 0;
		}
	}
	errx(1, "no answer");
}
