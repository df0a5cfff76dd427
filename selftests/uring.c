// SPDX-License-Identifier: GPL-2.0
/*
 * Reads and writes by io_uring, which tries each first without waiting and then again, with the
 * same kiocb, where it may wait.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	64

static struct ring {
	int fd;
	unsigned int *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
} ring = { .fd = -1 };

static void *ring_map(size_t size, off_t offset)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, offset);

	if (at == MAP_FAILED)
		fatal("mmap of the ring: %s", strerror(errno));
	return at;
}

/* False if this kernel has no io_uring, or none for us. */
static bool ring_open(void)
{
	struct io_uring_params p = { 0 };
	char *sq, *cq;

	ring.fd = syscall(__NR_io_uring_setup, 4, &p);
	if (ring.fd < 0)
		return false;
	sq = ring_map(p.sq_off.array + p.sq_entries * sizeof(int), IORING_OFF_SQ_RING);
	cq = ring_map(p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
		      IORING_OFF_CQ_RING);
	ring.sqes = ring_map(p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	ring.sq_tail = (void *)(sq + p.sq_off.tail);
	ring.sq_mask = (void *)(sq + p.sq_off.ring_mask);
	ring.sq_array = (void *)(sq + p.sq_off.array);
	ring.cq_head = (void *)(cq + p.cq_off.head);
	ring.cq_tail = (void *)(cq + p.cq_off.tail);
	ring.cq_mask = (void *)(cq + p.cq_off.ring_mask);
	ring.cqes = (void *)(cq + p.cq_off.cqes);
	return true;
}

/* One request, and its result. */
static int ring_do(int op, int fd, void *buf, unsigned int len, off_t at, int flags)
{
	unsigned int tail = *ring.sq_tail, index = tail & *ring.sq_mask, head;
	int err;

	ring.sqes[index] = (struct io_uring_sqe) {
		.opcode = op,
		.fd = fd,
		.addr = (uintptr_t)buf,
		.len = len,
		.off = at,
		.rw_flags = flags,
	};
	ring.sq_array[index] = index;
	__atomic_store_n(ring.sq_tail, tail + 1, __ATOMIC_RELEASE);
	do {
		err = syscall(__NR_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	} while (err < 0 && errno == EINTR);
	head = *ring.cq_head;
	if (err != 1 || __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE) == head)
		fatal("io_uring_enter took %d requests: %s", err, strerror(errno));
	err = ring.cqes[head & *ring.cq_mask].res;
	__atomic_store_n(ring.cq_head, head + 1, __ATOMIC_RELEASE);
	return err;
}

static int opens(const struct scope_dev *d)
{
	struct mmapscope_info info;

	dev_info(d, &info);
	return info.open_files;
}

/* A request gives its file back some time after it told its result. */
static bool ring_done(const struct scope_dev *d)
{
	return wait_for(opens(d) == 1, 10000);
}

DEVICE_FIXTURE(uring, PAGES);

TEST_F(uring, reads_what_is_not_cached)
{
	char buf[2] = { 1, 1 };

	if (!ring_open())
		SKIP(return, "io_uring_setup: %s", strerror(errno));
	ASSERT_EQ(1, pwrite(self->dev.fd, "x", 1, self->dev.page));
	ASSERT_EQ(0, fsync(self->dev.fd));
	dev_evict(&self->dev);
	EXPECT_EQ(2, ring_do(IORING_OP_READ, self->dev.fd, buf, 2, self->dev.page, 0));
	EXPECT_EQ('x', buf[0]);
	EXPECT_EQ(0, buf[1]);
	EXPECT_EQ(2, ring_do(IORING_OP_READ, self->dev.fd, buf, 2, self->dev.page, 0));
	EXPECT_TRUE(ring_done(&self->dev));
}

TEST_F(uring, nowait_is_not_tried_again)
{
	char byte;

	if (!ring_open())
		SKIP(return, "io_uring_setup: %s", strerror(errno));
	EXPECT_EQ(-EAGAIN, ring_do(IORING_OP_READ, self->dev.fd, &byte, 1, 0, RWF_NOWAIT));
	ASSERT_EQ(1, pread(self->dev.fd, &byte, 1, 0));
	EXPECT_EQ(1, ring_do(IORING_OP_READ, self->dev.fd, &byte, 1, 0, RWF_NOWAIT));
	EXPECT_TRUE(ring_done(&self->dev));
}

TEST_F(uring, writes)
{
	char buf[4];

	if (!ring_open())
		SKIP(return, "io_uring_setup: %s", strerror(errno));
	EXPECT_EQ(4, ring_do(IORING_OP_WRITE, self->dev.fd, "abcd", 4, self->dev.page - 2, 0));
	ASSERT_EQ(4, pread(self->dev.fd, buf, 4, self->dev.page - 2));
	EXPECT_EQ(0, memcmp(buf, "abcd", 4));
	EXPECT_EQ(2, now(&self->dev, pages_dirty));
	EXPECT_EQ(0, ring_do(IORING_OP_FSYNC, self->dev.fd, NULL, 0, 0, 0));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	EXPECT_TRUE(ring_done(&self->dev));
}

SCOPE_MAIN
