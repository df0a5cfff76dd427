// SPDX-License-Identifier: GPL-2.0
/* The kernel's side of a network block device: see nbdclient.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/genetlink.h>
#include <linux/nbd.h>
#include <linux/nbd-netlink.h>
#include <linux/netlink.h>

#include "nbdclient.h"
#include "nbdserver.h"
#include "util.h"

#define BLOCK	512

const char *nbd_unavailable(void)
{
	return access("/dev/nbd0", R_OK | W_OK) ? "needs network block devices (nbd)" : NULL;
}

static void node_name(int nr, char *name, size_t size)
{
	snprintf(name, size, "/dev/nbd%d", nr);
}

static void open_node(struct nbd_client *c)
{
	char name[32];

	node_name(c->nr, name, sizeof(name));
	c->fd = open(name, O_RDWR | O_CLOEXEC);
	if (c->fd < 0)
		fatal("%s: %s", name, strerror(errno));
}

/* The first that has no connection. */
static int find_free(void)
{
	char path[64];
	int nr;

	for (nr = 0; ; nr++) {
		node_name(nr, path, sizeof(path));
		if (access(path, F_OK))
			fatal("%d network block devices, all in use", nr);
		snprintf(path, sizeof(path), "/sys/block/nbd%d/pid", nr);
		if (access(path, F_OK))
			return nr;
	}
}

static void wait_for_size(struct nbd_client *c, __u64 bytes)
{
	__u64 has = 0;

	if (!wait_for(!ioctl(c->fd, BLKGETSIZE64, &has) && has == bytes, 20000))
		fatal("nbd%d has %llu bytes instead of %llu", c->nr, has, bytes);
}

/* --- by ioctl --- */

static void set(struct nbd_client *c, unsigned long command, unsigned long value)
{
	if (ioctl(c->fd, command, value))
		fatal("nbd%d, ioctl %#lx: %s", c->nr, command, strerror(errno));
}

/*
 * As nbd-client does it: when the connection is over, however it ended, what was sent and not
 * answered is made to fail.
 */
static void *keep_connection(void *arg)
{
	struct nbd_client *c = arg;

	ioctl(c->fd, NBD_DO_IT);
	ioctl(c->fd, NBD_CLEAR_QUE);
	ioctl(c->fd, NBD_CLEAR_SOCK);
	c->over = true;
	return NULL;
}

void nbd_connect(struct nbd_client *c, struct nbd_server *s, unsigned int flags)
{
	*c = (struct nbd_client) { .nr = find_free() };
	open_node(c);
	set(c, NBD_SET_SOCK, s->socket);
	set(c, NBD_SET_BLKSIZE, BLOCK);
	set(c, NBD_SET_SIZE_BLOCKS, s->bytes / BLOCK);
	set(c, NBD_SET_FLAGS, NBD_FLAG_HAS_FLAGS | flags);
	if (pthread_create(&c->thread, NULL, keep_connection, c))
		fatal("no thread");
	wait_for_size(c, s->bytes);
	nbd_server_hand_over(s);
}

void nbd_timeout(struct nbd_client *c, unsigned int seconds)
{
	set(c, NBD_SET_TIMEOUT, seconds);
}

/* --- by netlink --- */

struct message {
	struct nlmsghdr head;
	struct genlmsghdr genl;
	char attrs[512];
};

static void begin(struct message *m, unsigned int type, unsigned int command)
{
	memset(m, 0, sizeof(*m));
	m->head.nlmsg_type = type;
	m->head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	m->head.nlmsg_len = NLMSG_LENGTH(sizeof(m->genl));
	m->genl.cmd = command;
	m->genl.version = 1;
}

static struct nlattr *add(struct message *m, unsigned int type, const void *value, size_t size)
{
	struct nlattr *attr = (void *)((char *)m + NLMSG_ALIGN(m->head.nlmsg_len));
	size_t end = NLMSG_ALIGN(m->head.nlmsg_len) + NLA_HDRLEN + NLA_ALIGN(size);

	if (end > sizeof(*m))
		fatal("a message that is too long");
	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + size;
	if (size)
		memcpy((char *)attr + NLA_HDRLEN, value, size);
	m->head.nlmsg_len = end;
	return attr;
}

static void add_u32(struct message *m, unsigned int type, __u32 value)
{
	add(m, type, &value, sizeof(value));
}

static void add_u64(struct message *m, unsigned int type, __u64 value)
{
	add(m, type, &value, sizeof(value));
}

/* What is added between these two is within the first. */
static struct nlattr *open_nest(struct message *m, unsigned int type)
{
	return add(m, type | NLA_F_NESTED, NULL, 0);
}

static void close_nest(struct message *m, struct nlattr *attr)
{
	attr->nla_len = (char *)m + m->head.nlmsg_len - (char *)attr;
}

static void receive(int fd, struct message *m)
{
	ssize_t n = recv(fd, m, sizeof(*m), 0);

	if (n < (ssize_t)sizeof(m->head) || !NLMSG_OK(&m->head, (size_t)n))
		fatal("netlink: %s", n < 0 ? strerror(errno) : "a truncated message");
}

static int acknowledged(const struct message *m)
{
	const struct nlmsgerr *error = NLMSG_DATA(&m->head);

	return error->error;
}

/*
 * Sends @m, and puts what is answered there, if anything is besides the errno, in its place.  0 or
 * -errno.
 */
static int talk(struct message *m)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC), err;
	struct message got;

	if (fd < 0 || send(fd, m, m->head.nlmsg_len, 0) < 0)
		fatal("netlink: %s", strerror(errno));
	for (receive(fd, &got); got.head.nlmsg_type != NLMSG_ERROR; receive(fd, &got))
		*m = got;
	err = acknowledged(&got);
	close(fd);
	return err;
}

/* The number that the kernel has given to nbd's messages. */
static unsigned int family(void)
{
	struct message m;
	struct nlattr *attr;
	__u16 id;

	begin(&m, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	add(&m, CTRL_ATTR_FAMILY_NAME, NBD_GENL_FAMILY_NAME, sizeof(NBD_GENL_FAMILY_NAME));
	if (talk(&m))
		fatal("nbd does not speak netlink");
	for (attr = (void *)m.attrs; (char *)attr < (char *)&m + m.head.nlmsg_len;
	     attr = (void *)((char *)attr + NLA_ALIGN(attr->nla_len))) {
		if (attr->nla_type != CTRL_ATTR_FAMILY_ID)
			continue;
		memcpy(&id, (char *)attr + NLA_HDRLEN, sizeof(id));
		return id;
	}
	fatal("netlink: a family without a number");
}

static void add_socket(struct message *m, int fd)
{
	struct nlattr *sockets = open_nest(m, NBD_ATTR_SOCKETS);
	struct nlattr *item = open_nest(m, NBD_SOCK_ITEM);

	add_u32(m, NBD_SOCK_FD, fd);
	close_nest(m, item);
	close_nest(m, sockets);
}

static void ask(struct nbd_client *c, struct message *m)
{
	int err = talk(m);

	if (err)
		fatal("nbd%d, command %d: %s", c->nr, m->genl.cmd, strerror(-err));
}

void nbd_connect_patiently(struct nbd_client *c, struct nbd_server *s, unsigned int flags,
			   unsigned int seconds)
{
	struct message m;

	*c = (struct nbd_client) { .nr = find_free(), .by_netlink = true };
	begin(&m, family(), NBD_CMD_CONNECT);
	add_u32(&m, NBD_ATTR_INDEX, c->nr);
	add_u64(&m, NBD_ATTR_SIZE_BYTES, s->bytes);
	add_u64(&m, NBD_ATTR_BLOCK_SIZE_BYTES, BLOCK);
	add_u64(&m, NBD_ATTR_SERVER_FLAGS, NBD_FLAG_HAS_FLAGS | flags);
	add_u64(&m, NBD_ATTR_CLIENT_FLAGS, NBD_CFLAG_DISCONNECT_ON_CLOSE);
	add_u64(&m, NBD_ATTR_DEAD_CONN_TIMEOUT, seconds);
	add_socket(&m, s->socket);
	ask(c, &m);
	nbd_server_hand_over(s);
	open_node(c);
	wait_for_size(c, s->bytes);
}

static int reconfigure(struct nbd_client *c, struct nbd_server *s)
{
	struct message m;

	begin(&m, family(), NBD_CMD_RECONFIGURE);
	add_u32(&m, NBD_ATTR_INDEX, c->nr);
	add_socket(&m, s->socket);
	return talk(&m);
}

/* The kernel takes a new socket only in the place of one that it knows to be dead. */
void nbd_reconnect(struct nbd_client *c, struct nbd_server *s)
{
	int err;

	wait_for((err = reconfigure(c, s)) != -ENOSPC, 20000);
	if (err)
		fatal("nbd%d: another connection: %s", c->nr, strerror(-err));
	nbd_server_hand_over(s);
}

/* --- either --- */

void nbd_disconnect(struct nbd_client *c)
{
	struct message m;

	if (c->by_netlink) {
		begin(&m, family(), NBD_CMD_DISCONNECT);
		add_u32(&m, NBD_ATTR_INDEX, c->nr);
		ask(c, &m);
	} else {
		/* Nothing if the connection is over. */
		ioctl(c->fd, NBD_DISCONNECT);
		pthread_join(c->thread, NULL);
	}
	close(c->fd);
}
