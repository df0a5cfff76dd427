// SPDX-License-Identifier: GPL-2.0
/* Who may do what: an ordinary user, root without CAP_SYS_ADMIN, root of a user namespace. */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <linux/capability.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	64
#define USER	1000

DEVICE_FIXTURE(privilege, PAGES);

static int become_user(void)
{
	return setgroups(0, NULL) || setgid(USER) || setuid(USER);
}

static int create_errno(int ctl)
{
	struct mmapscope_create arg = {
		.size = sizeof(arg), .dev_size = sysconf(_SC_PAGESIZE), .id = MMAPSCOPE_ID_ANY,
	};

	if (!ioctl(ctl, MMAPSCOPE_IOC_CREATE, &arg)) {
		dev_remove(ctl, arg.id, 0, NULL);
		return 0;
	}
	return errno;
}

static int list_errno(int ctl)
{
	struct mmapscope_list arg = {
		.size = sizeof(arg), .entry_size = sizeof(struct mmapscope_info),
	};

	return ioctl(ctl, MMAPSCOPE_IOC_LIST, &arg) ? errno : 0;
}

/* Each of these runs in a child and returns the line that went wrong, or 0. */
#define CHECK(cond) do {							\
	if (!(cond))								\
		return __LINE__ % 200 + 1;					\
} while (0)

static int as_user_by_name(void *arg)
{
	struct scope_dev *d = arg;

	CHECK(!become_user());
	CHECK(open(d->node, O_RDONLY) < 0 && errno == EACCES);
	CHECK(open(CONTROL_NODE, O_RDWR) < 0 && errno == EACCES);
	CHECK(open(CONTROL_NODE, O_RDONLY) < 0 && errno == EACCES);
	CHECK(access(DEBUGFS_DIR, R_OK));
	CHECK(file_number("/sys/class/mmapscope/mmapscope0/size") > 0);
	return 0;
}

TEST_F(privilege, user_is_refused_the_nodes)
{
	EXPECT_EQ(0, in_child(as_user_by_name, &self->dev));
}

static int as_user_by_descriptor(void *arg)
{
	struct scope_dev *d = arg;
	struct mmapscope_info info;
	char byte, *p;

	CHECK(!become_user());
	/* What a holder may: read counters, use the device. */
	CHECK(now(d, pages_cached) >= 0);
	dev_info(d, &info);
	CHECK(info.id == d->id);
	CHECK(pread(d->fd, &byte, 1, 0) == 1);
	p = mmap(NULL, d->page, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, 0);
	CHECK(p != MAP_FAILED);
	*p = 7;
	CHECK(!msync(p, d->page, MS_SYNC));
	CHECK(!dev_evict_ioctl(d->fd, 0, 0, 0, NULL));
	CHECK(!dev_punch(d, 1, 1));
	/* What needs the capability, whoever opened the descriptor. */
	CHECK(create_errno(d->ctl) == EPERM);
	CHECK(dev_remove(d->ctl, d->id, 0, NULL) == -EPERM);
	CHECK(dev_remove(d->ctl, d->id, MMAPSCOPE_REMOVE_FORCE, NULL) == -EPERM);
	CHECK(list_errno(d->ctl) == 0);
	return 0;
}

TEST_F(privilege, user_with_inherited_descriptors)
{
	EXPECT_EQ(0, in_child(as_user_by_descriptor, &self->dev));
}

static int send_fd(int sock, int fd)
{
	char byte = 0, space[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space,
		.msg_controllen = sizeof(space),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(sock, &msg, 0) == 1 ? 0 : -1;
}

static int receive_fd(int sock)
{
	char byte, space[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space,
		.msg_controllen = sizeof(space),
	};
	int fd = -1;

	if (recvmsg(sock, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

struct passed {
	int sock;
	struct scope_dev *dev;
};

static int as_user_by_socket(void *arg)
{
	struct passed *passed = arg;
	struct scope_dev mine = *passed->dev;

	close(passed->dev->fd);
	CHECK(!become_user());
	mine.fd = receive_fd(passed->sock);
	CHECK(mine.fd >= 0);
	CHECK(now(&mine, pages_cached) >= 0);
	/* The descriptor that was sent is for reading. */
	CHECK(dev_punch(&mine, 0, 1) == -EBADF);
	CHECK(dev_reset(&mine) == -EBADF);
	CHECK(write(mine.fd, "x", 1) < 0 && errno == EBADF);
	return 0;
}

TEST_F(privilege, user_with_a_descriptor_from_a_socket)
{
	struct passed passed = { .dev = &self->dev };
	int sv[2], ro = dev_open(&self->dev, O_RDONLY);

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, sv));
	passed.sock = sv[1];
	ASSERT_EQ(0, send_fd(sv[0], ro));
	close(ro);
	/* In the socket's queue it is open all the same. */
	close(self->dev.fd);
	EXPECT_EQ(-EBUSY, dev_remove(self->dev.ctl, self->dev.id, 0, NULL));
	self->dev.fd = dev_open(&self->dev, O_RDWR);
	EXPECT_EQ(0, in_child(as_user_by_socket, &passed));
	close(sv[0]);
	close(sv[1]);
}

static int without_capability(void *arg)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];
	struct scope_dev *d = arg;

	CHECK(!syscall(SYS_capget, &head, caps));
	caps[CAP_SYS_ADMIN / 32].effective &= ~(1U << CAP_SYS_ADMIN % 32);
	CHECK(!syscall(SYS_capset, &head, caps));
	CHECK(create_errno(d->ctl) == EPERM);
	CHECK(dev_remove(d->ctl, d->id, 0, NULL) == -EPERM);
	CHECK(now(d, pages_cached) >= 0);
	return 0;
}

TEST_F(privilege, root_without_the_capability)
{
	EXPECT_EQ(0, in_child(without_capability, &self->dev));
}

static int in_user_namespace(void *arg)
{
	struct scope_dev *d = arg;

	if (unshare(CLONE_NEWUSER))
		return 255;
	CHECK(create_errno(d->ctl) == EPERM);
	CHECK(dev_remove(d->ctl, d->id, MMAPSCOPE_REMOVE_FORCE, NULL) == -EPERM);
	return 0;
}

TEST_F(privilege, root_of_a_user_namespace)
{
	int ret = in_child(in_user_namespace, &self->dev);

	if (ret == 255)
		SKIP(return, "no user namespace can be made here");
	EXPECT_EQ(0, ret);
}

static int run_as_user(void *arg)
{
	int null = open("/dev/null", O_WRONLY);

	dup2(null, 1);
	dup2(null, 2);
	if (become_user() || chdir("/"))
		return 99;
	execl(arg, arg, NULL);
	return 98;
}

/* Every program of this suite, run by somebody who may not open the node: says so, and succeeds. */
TEST(programs_run_as_an_ordinary_user)
{
	char self_path[512], path[1024], *dir;
	struct dirent *entry;
	int n = 0, ret;
	ssize_t len;
	DIR *d;

	NEED_DEVICES();
	len = readlink("/proc/self/exe", self_path, sizeof(self_path) - 1);
	ASSERT_LT(0, len);
	self_path[len] = 0;
	dir = dirname(self_path);
	d = opendir(dir);
	ASSERT_NE(NULL, d);
	while ((entry = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (strchr(entry->d_name, '.') || access(path, X_OK))
			continue;
		/* No test by itself: see scripts/powercut. */
		if (!strcmp(entry->d_name, "powercut"))
			continue;
		ret = in_child(run_as_user, path);
		EXPECT_EQ(0, ret) {
			TH_LOG("%s", entry->d_name);
		}
		n++;
	}
	closedir(d);
	EXPECT_LE(10, n);
}

SCOPE_MAIN
