/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A server of a network block device, in a process of its own, at the other end of a socketpair.
 * Like a disk it has a cache: what is written lasts when it has been flushed, and not before.  It
 * can be made to fail, to fall silent, and to die; a new one goes on with what has lasted.
 */
#ifndef SELFTESTS_NBDSERVER_H
#define SELFTESTS_NBDSERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include <linux/types.h>

enum nbd_op {
	NBD_OP_READ,
	NBD_OP_WRITE,		/* of zeros and of nothing, too */
	NBD_OP_FLUSH,
	NBD_NR_OPS,
};

/* Shared with the server; what is said here holds for the requests that it has not read yet. */
struct nbd_state {
	/* Said by the test. */
	volatile unsigned int error[NBD_NR_OPS];	/* what it answers, if not 0 */
	volatile bool silent[NBD_NR_OPS];		/* no answer at all */
	volatile __u64 from, to;			/* bytes that @error is about */
	/* Said by the server. */
	volatile long requests[NBD_NR_OPS];		/* that it has read */
	volatile __u64 write_bytes;			/* in its cache */
	volatile bool disconnected;			/* was told farewell */
};

struct nbd_server {
	struct nbd_state *state;
	__u64 bytes;
	char *cache, *disk;	/* what it answers with; what has lasted */
	pid_t pid;
	int socket;		/* the client's end, until nbd_server_hand_over() */
	int pipe[2];		/* the server's own */
};

/* A server of @bytes of zeros, which is not running. */
void nbd_server_init(struct nbd_server *s, __u64 bytes);
/*
 * Begins, or begins again after it was killed, with what has lasted.  A mapping of a device that is
 * there must not be inherited (MADV_DONTFORK), or the server keeps the device from being removed.
 */
void nbd_server_start(struct nbd_server *s);
/* The client has its own reference to the socket now. */
void nbd_server_hand_over(struct nbd_server *s);
/* As by a power cut, with the socket closed when this returns.  Nothing if it has ended already. */
void nbd_server_kill(struct nbd_server *s);
/* Killed, and forgotten. */
void nbd_server_end(struct nbd_server *s);

/* @error (a number of the protocol, which is that of Linux; 0: none) for all bytes. */
void nbd_server_fail(struct nbd_server *s, enum nbd_op op, unsigned int error);
/* The same, for some bytes only; one range for all operations. */
void nbd_server_fail_at(struct nbd_server *s, enum nbd_op op, unsigned int error, __u64 from,
			__u64 bytes);

/*
 * What has lasted: the first of pages @first to @first + @n - 1 that is not of generation @gen, or
 * -1.
 */
long nbd_server_differs(const struct nbd_server *s, long first, long n, __u64 gen);
/* The same of what it would answer. */
long nbd_server_cache_differs(const struct nbd_server *s, long first, long n, __u64 gen);

#endif /* SELFTESTS_NBDSERVER_H */
