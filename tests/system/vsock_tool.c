/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets of AF_VSOCK for tests in Linux guests: busybox has no tool for them. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

enum { CHUNK = 65536 };

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static void copy(int from, int to)
{
	static char bytes[CHUNK];
	ssize_t n;

	while ((n = read(from, bytes, sizeof(bytes))) > 0)
		for (ssize_t done = 0, more; done < n; done += more)
			if ((more = write(to, bytes + done, (size_t)(n - done))) < 0)
				die("write");
	if (n < 0)
		die("read");
}

static int make(int type, uint32_t cid, uint32_t port, bool listens)
{
	struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
	int s = socket(AF_VSOCK, type, 0), peer;

	if (s < 0)
		die("socket");
	if (!listens) {
		if (connect(s, (struct sockaddr *)&address, sizeof(address)))
			die("connect");
		return s;
	}
	if (bind(s, (struct sockaddr *)&address, sizeof(address)))
		die("bind");
	if (listen(s, 16))
		die("listen");
	peer = accept(s, NULL, NULL);
	if (peer < 0)
		die("accept");
	close(s);
	return peer;
}

/* Sends all input and shows all that comes back, both at once. */
static void talk(int s)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (!child) {
		copy(0, s);
		shutdown(s, SHUT_WR);
		exit(0);
	}
	copy(s, 1);
	waitpid(child, &status, 0);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

int main(int argc, char **argv)
{
	int type = SOCK_STREAM;

	if (argc > 2 && strcmp(argv[1], "-s") == 0) {
		type = SOCK_SEQPACKET;
		argc--;
		argv++;
	}
	if (argc == 4 && strcmp(argv[1], "talk") == 0)
		talk(make(type, (uint32_t)atol(argv[2]), (uint32_t)atol(argv[3]), false));
	if (argc == 4 && strcmp(argv[1], "hold") == 0)
		copy(make(type, (uint32_t)atol(argv[2]), (uint32_t)atol(argv[3]), false), 1);
	else if (argc == 3 && strcmp(argv[1], "take") == 0)
		copy(make(type, VMADDR_CID_ANY, (uint32_t)atol(argv[2]), true), 1);
	else if (argc == 3 && strcmp(argv[1], "give") == 0)
		talk(make(type, VMADDR_CID_ANY, (uint32_t)atol(argv[2]), true));
	else if (argc == 3 && strcmp(argv[1], "echo") == 0) {
		int s = make(type, VMADDR_CID_ANY, (uint32_t)atol(argv[2]), true);

		copy(s, s);
	} else {
		fprintf(stderr, "usage: vsock [-s] talk CID PORT | hold CID PORT | take PORT | "
				"give PORT | echo PORT\n");
		return 2;
	}
	return 0;
}
