/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's side of a network block device, /dev/nbdN: by its ioctls, as nbd-client has always
 * done, where the device is for one connection; or by netlink, where a connection that broke can be
 * replaced.
 */
#ifndef SELFTESTS_NBDCLIENT_H
#define SELFTESTS_NBDCLIENT_H

#include <pthread.h>
#include <stdbool.h>

#include <linux/types.h>

struct nbd_server;

struct nbd_client {
	int fd;			/* of the node */
	int nr;
	bool by_netlink;
	pthread_t thread;	/* keeps the connection, by ioctl */
	volatile bool over;	/* it is broken, and what was under way has failed */
};

/* Why there are no network block devices, or NULL. */
const char *nbd_unavailable(void);

/* By ioctl, to a server that runs; @flags are NBD_FLAG_SEND_FLUSH and the like. */
void nbd_connect(struct nbd_client *c, struct nbd_server *s, unsigned int flags);
/* Requests that are begun from now on fail after so long without an answer. */
void nbd_timeout(struct nbd_client *c, unsigned int seconds);

/*
 * By netlink.  What wants to be sent while there is no connection waits so long for another one:
 * nbd_reconnect() to a server that runs.
 */
void nbd_connect_patiently(struct nbd_client *c, struct nbd_server *s, unsigned int flags,
			   unsigned int seconds);
void nbd_reconnect(struct nbd_client *c, struct nbd_server *s);

/* Says farewell, whoever still uses the block device, and closes it. */
void nbd_disconnect(struct nbd_client *c);

#endif /* SELFTESTS_NBDCLIENT_H */
