// SPDX-License-Identifier: GPL-2.0
/*
 * A server of a network block device: see nbdserver.h.
 *
 * It serves the machine that it runs on, so it must not need memory that only its own answers would
 * free: all that it works with is locked before it begins.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/nbd.h>

#include "device.h"
#include "nbdserver.h"
#include "util.h"

/* Newer than the header of 6.1. */
#define CMD_WRITE_ZEROES	6

#define COMMAND_MASK		0xffff

/* --- the server's process --- */

/* A request, in the order of bytes of this machine. */
struct job {
	char handle[8];
	unsigned int command;
	enum nbd_op op;
	__u64 from;
	__u32 bytes;
};

/* The client is gone, or talks nonsense: so is the server. */
static void __attribute__((noreturn)) quit(void)
{
	_exit(0);
}

/*
 * By way of a pipe.  To read(2) a socket is to copy to user space with the socket's lock held, and
 * lockdep, which cannot tell this end from the other, where nbd receives in the middle of a page
 * fault, would call that a deadlock.
 */
static void receive(const struct nbd_server *s, void *buf, size_t size)
{
	ssize_t n;

	for (; size; size -= n, buf = (char *)buf + n) {
		n = splice(s->socket, NULL, s->pipe[1], NULL, size, 0);
		if (n <= 0 || read(s->pipe[0], buf, n) != n)
			quit();
	}
}

static void answer(int fd, const void *buf, size_t size)
{
	ssize_t n;

	for (; size; size -= n, buf = (const char *)buf + n) {
		n = send(fd, buf, size, MSG_NOSIGNAL);
		if (n <= 0)
			quit();
	}
}

static enum nbd_op op_of(unsigned int command)
{
	switch (command) {
	case NBD_CMD_READ:
		return NBD_OP_READ;
	case NBD_CMD_FLUSH:
		return NBD_OP_FLUSH;
	case NBD_CMD_WRITE:
	case NBD_CMD_TRIM:
	case CMD_WRITE_ZEROES:
		return NBD_OP_WRITE;
	default:
		quit();
	}
}

static void receive_job(struct nbd_server *s, struct job *job, char *data)
{
	struct nbd_request request;

	receive(s, &request, sizeof(request));
	if (ntohl(request.magic) != NBD_REQUEST_MAGIC)
		quit();
	memcpy(job->handle, request.handle, sizeof(job->handle));
	job->command = ntohl(request.type) & COMMAND_MASK;
	job->from = be64toh(request.from);
	job->bytes = ntohl(request.len);
	if (job->command == NBD_CMD_DISC) {
		s->state->disconnected = true;
		quit();
	}
	job->op = op_of(job->command);
	if (job->from > s->bytes || job->bytes > s->bytes - job->from)
		quit();
	if (job->command == NBD_CMD_WRITE)
		receive(s, data, job->bytes);
}

static unsigned int error_of(const struct nbd_state *state, const struct job *job)
{
	if (job->op != NBD_OP_FLUSH &&
	    (job->from >= state->to || job->from + job->bytes <= state->from))
		return 0;
	return state->error[job->op];
}

static void execute(struct nbd_server *s, const struct job *job, const char *data)
{
	switch (job->command) {
	case NBD_CMD_WRITE:
		memcpy(s->cache + job->from, data, job->bytes);
		s->state->write_bytes += job->bytes;
		break;
	case NBD_CMD_TRIM:
	case CMD_WRITE_ZEROES:
		memset(s->cache + job->from, 0, job->bytes);
		break;
	case NBD_CMD_FLUSH:
		memcpy(s->disk, s->cache, s->bytes);
		break;
	}
}

static void reply(struct nbd_server *s, const struct job *job, unsigned int error)
{
	struct nbd_reply r = { .magic = htonl(NBD_REPLY_MAGIC), .error = htonl(error) };

	memcpy(r.handle, job->handle, sizeof(r.handle));
	answer(s->socket, &r, sizeof(r));
	if (!error && job->op == NBD_OP_READ)
		answer(s->socket, s->cache + job->from, job->bytes);
}

static void __attribute__((noreturn)) serve(struct nbd_server *s, char *data)
{
	struct nbd_state *state = s->state;
	unsigned int error;
	struct job job;

	for (;;) {
		receive_job(s, &job, data);
		error = error_of(state, &job);
		if (state->silent[job.op]) {
			state->requests[job.op]++;
			continue;
		}
		if (!error)
			execute(s, &job, data);
		/* Who has the answer also finds it counted. */
		state->requests[job.op]++;
		reply(s, &job, error);
	}
}

/* --- the test's process --- */

static char *share(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		fatal("mmap: %s", strerror(errno));
	return at;
}

void nbd_server_init(struct nbd_server *s, __u64 bytes)
{
	*s = (struct nbd_server) {
		.state = (void *)share(sizeof(*s->state)),
		.bytes = bytes,
		.cache = share(bytes),
		.disk = share(bytes),
		.pid = -1,
		.socket = -1,
	};
}

/* What the test has open is none of the server's: it would keep devices from being removed. */
static void close_others(struct nbd_server *s)
{
	if (dup2(s->socket, 3) != 3 || close_range(4, ~0U, 0))
		_exit(1);
	s->socket = 3;
}

static void __attribute__((noreturn)) run(struct nbd_server *s, pid_t parent)
{
	char *data = malloc(s->bytes);

	close_others(s);
	if (pipe(s->pipe))
		_exit(1);
	/* A test that dies takes its server with it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(1);
	if (!data || mlock(data, s->bytes) || mlock(s->cache, s->bytes) ||
	    mlock(s->disk, s->bytes) || mlock(s->state, sizeof(*s->state)))
		_exit(2);
	serve(s, data);
}

void nbd_server_start(struct nbd_server *s)
{
	pid_t parent = getpid();
	int ends[2];

	if (s->pid >= 0)
		fatal("the server is running");
	memcpy(s->cache, s->disk, s->bytes);
	memset(s->state, 0, sizeof(*s->state));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		fatal("socketpair: %s", strerror(errno));
	s->pid = fork();
	if (s->pid < 0)
		fatal("fork: %s", strerror(errno));
	s->socket = ends[!s->pid];
	close(ends[!!s->pid]);
	if (!s->pid)
		run(s, parent);
}

void nbd_server_hand_over(struct nbd_server *s)
{
	close(s->socket);
	s->socket = -1;
}

void nbd_server_kill(struct nbd_server *s)
{
	if (s->pid < 0)
		return;
	kill(s->pid, SIGKILL);
	if (waitpid(s->pid, NULL, 0) != s->pid)
		fatal("the server cannot be waited for: %s", strerror(errno));
	s->pid = -1;
}

void nbd_server_end(struct nbd_server *s)
{
	nbd_server_kill(s);
	if (s->socket >= 0)
		nbd_server_hand_over(s);
	munmap(s->disk, s->bytes);
	munmap(s->cache, s->bytes);
	munmap(s->state, sizeof(*s->state));
}

void nbd_server_fail_at(struct nbd_server *s, enum nbd_op op, unsigned int error, __u64 from,
			__u64 bytes)
{
	s->state->from = from;
	s->state->to = from + bytes;
	s->state->error[op] = error;
}

void nbd_server_fail(struct nbd_server *s, enum nbd_op op, unsigned int error)
{
	nbd_server_fail_at(s, op, error, 0, s->bytes);
}

static long differs(const char *at, long first, long n, __u64 gen)
{
	long page = sysconf(_SC_PAGESIZE), i;

	for (i = first; i < first + n; i++)
		if (page_differs(at + i * page, page, i, gen) >= 0)
			return i;
	return -1;
}

long nbd_server_differs(const struct nbd_server *s, long first, long n, __u64 gen)
{
	return differs(s->disk, first, n, gen);
}

long nbd_server_cache_differs(const struct nbd_server *s, long first, long n, __u64 gen)
{
	return differs(s->cache, first, n, gen);
}
