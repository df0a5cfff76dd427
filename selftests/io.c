// SPDX-License-Identifier: GPL-2.0
/* The other system calls on the node, and that they and mappings see one memory. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	512
#define RW	(PROT_READ | PROT_WRITE)

DEVICE_FIXTURE(io, PAGES);

TEST_F(io, write_is_seen_in_the_mapping)
{
	char *p = dev_map(&self->dev, 0, 4, RW);
	long at = self->dev.page - 3;

	touch_pages(p, 4);
	ASSERT_EQ(6, pwrite(self->dev.fd, "abcdef", 6, at));
	EXPECT_EQ(0, memcmp(p + at, "abcdef", 6));
	EXPECT_EQ(0, p[at - 1]);
	EXPECT_EQ(0, p[at + 6]);
}

TEST_F(io, store_is_seen_by_read)
{
	char *p = dev_map(&self->dev, 0, 4, RW);
	long at = 2 * self->dev.page - 2;
	char buf[6];

	memcpy(p + at, "ghij", 4);
	ASSERT_EQ(6, pread(self->dev.fd, buf, 6, at - 1));
	EXPECT_EQ(0, memcmp(buf, "\0ghij", 6));
}

TEST_F(io, vectors_across_pages)
{
	char a[5], b[7], *p = dev_map(&self->dev, 0, 3, RW);
	struct iovec out[] = { { "one", 3 }, { "two", 3 }, { "threes", 6 } };
	struct iovec in[] = { { a, 5 }, { b, 7 } };
	long at = self->dev.page - 4;

	ASSERT_EQ(at, lseek(self->dev.fd, at, SEEK_SET));
	ASSERT_EQ(12, writev(self->dev.fd, out, 3));
	EXPECT_EQ(at + 12, lseek(self->dev.fd, 0, SEEK_CUR));
	EXPECT_EQ(0, memcmp(p + at, "onetwothrees", 12));
	ASSERT_EQ(at, lseek(self->dev.fd, at, SEEK_SET));
	ASSERT_EQ(12, readv(self->dev.fd, in, 2));
	EXPECT_EQ(0, memcmp(a, "onetw", 5));
	EXPECT_EQ(0, memcmp(b, "othrees", 7));
}

TEST_F(io, large_odd_transfers)
{
	long len = 200 * self->dev.page + 77, at = 3 * self->dev.page + 11;
	unsigned char *out = malloc(len), *in = malloc(len);
	char *p = dev_map(&self->dev, 0, PAGES, PROT_READ);
	long i;

	for (i = 0; i < len; i++)
		out[i] = i * 31 >> 3;
	ASSERT_EQ(len, pwrite(self->dev.fd, out, len, at));
	EXPECT_EQ(0, memcmp(p + at, out, len));
	dev_evict(&self->dev);
	ASSERT_EQ(len, pread(self->dev.fd, in, len, at));
	EXPECT_EQ(0, memcmp(in, out, len));
	EXPECT_EQ(0, p[at - 1]);
	EXPECT_EQ(0, p[at + len]);
	free(out);
	free(in);
}

TEST_F(io, partial_write_keeps_the_rest)
{
	long page = self->dev.page;
	char *buf = malloc(2 * page), *expect = malloc(2 * page);

	dev_fill(&self->dev, 0, 2, 5);
	page_fill(expect, page, 0, 5);
	page_fill(expect + page, page, 1, 5);
	memcpy(expect + page - 2, "part", 4);
	ASSERT_EQ(4, pwrite(self->dev.fd, "part", 4, page - 2));
	ASSERT_EQ(2 * page, pread(self->dev.fd, buf, 2 * page, 0));
	EXPECT_EQ(0, memcmp(buf, expect, 2 * page));
	dev_evict(&self->dev);
	ASSERT_EQ(2 * page, pread(self->dev.fd, buf, 2 * page, 0));
	EXPECT_EQ(0, memcmp(buf, expect, 2 * page));
	free(buf);
	free(expect);
}

TEST_F(io, the_end)
{
	long end = PAGES * self->dev.page;
	char buf[8] = "";

	EXPECT_EQ(3, pwrite(self->dev.fd, "abcde", 5, end - 3));
	EXPECT_EQ(3, pread(self->dev.fd, buf, 8, end - 3));
	EXPECT_STREQ("abc", buf);
	EXPECT_EQ(0, pread(self->dev.fd, buf, 8, end));
	EXPECT_EQ(0, pread(self->dev.fd, buf, 8, end + 100));
	EXPECT_EQ(-1, pwrite(self->dev.fd, buf, 1, end));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(-1, pwrite(self->dev.fd, buf, 1, end + 100));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(0, pwrite(self->dev.fd, buf, 0, 0));
	EXPECT_EQ(-1, pread(self->dev.fd, buf, 8, -1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pwrite(self->dev.fd, buf, 8, -1));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(io, append_means_nothing)
{
	int fd = dev_open(&self->dev, O_RDWR | O_APPEND);
	char byte = 0;

	ASSERT_EQ(1, write(fd, "z", 1));
	EXPECT_EQ(1, lseek(fd, 0, SEEK_CUR));
	ASSERT_EQ(1, pread(fd, &byte, 1, 0));
	EXPECT_EQ('z', byte);
	close(fd);
}

TEST_F(io, open_modes)
{
	int ro = dev_open(&self->dev, O_RDONLY), wo = dev_open(&self->dev, O_WRONLY);
	char byte = 'w';

	EXPECT_EQ(-1, write(ro, &byte, 1));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(1, write(wo, &byte, 1));
	EXPECT_EQ(-1, read(wo, &byte, 1));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(1, read(ro, &byte, 1));
	close(ro);
	close(wo);
	EXPECT_EQ(-1, dev_open(&self->dev, O_RDWR | O_DIRECT));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, fcntl(self->dev.fd, F_SETFL, O_DIRECT));
	EXPECT_EQ(EINVAL, errno);
	wo = dev_open(&self->dev, O_RDWR | O_TRUNC);
	ASSERT_LE(0, wo);
	EXPECT_EQ(1, pread(wo, &byte, 1, 0));
	EXPECT_EQ('w', byte);
	close(wo);
}

/* The kernel refuses these on a character device before it asks the driver. */
TEST_F(io, refused_calls)
{
	loff_t from = 0, to = self->dev.page;
	int fd = self->dev.fd;

	EXPECT_EQ(-1, fallocate(fd, 0, 0, self->dev.page));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, ftruncate(fd, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, readahead(fd, 0, self->dev.page));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, copy_file_range(fd, &from, fd, &to, self->dev.page, 0));
	EXPECT_EQ(EINVAL, errno);
}

/* What is read or written where memory ends is what fits, and a page stays whole. */
TEST_F(io, bad_memory)
{
	char *edge = mmap(NULL, 2 * self->dev.page, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p = dev_map(&self->dev, 0, 1, PROT_READ);
	char *gone = edge + self->dev.page;

	munmap(edge + self->dev.page, self->dev.page);
	memset(edge, 'e', self->dev.page);
	EXPECT_EQ(-1, pwrite(self->dev.fd, gone, 10, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, pread(self->dev.fd, gone, 10, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	EXPECT_EQ(10, pwrite(self->dev.fd, edge + self->dev.page - 10, self->dev.page, 0));
	EXPECT_EQ(0, memcmp(p, "eeeeeeeeee", 11));
	EXPECT_EQ(10, pread(self->dev.fd, edge + self->dev.page - 10, self->dev.page, 0));
	EXPECT_EQ(10, moved(&self->dev, read_bytes));
	EXPECT_EQ(10, moved(&self->dev, write_bytes));
	munmap(edge, self->dev.page);
}

TEST_F(io, lseek_positions)
{
	long end = PAGES * self->dev.page;
	int fd = self->dev.fd;

	EXPECT_EQ(end, lseek(fd, 0, SEEK_END));
	EXPECT_EQ(end - 5, lseek(fd, -5, SEEK_END));
	EXPECT_EQ(end - 4, lseek(fd, 1, SEEK_CUR));
	EXPECT_EQ(7, lseek(fd, 7, SEEK_SET));
	EXPECT_EQ(-1, lseek(fd, -1, SEEK_SET));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, lseek(fd, -end - 1, SEEK_END));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, lseek(fd, 0, 99));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(7, lseek(fd, 0, SEEK_CUR));
}

TEST_F(io, lseek_data_and_holes)
{
	long page = self->dev.page, end = PAGES * page;
	char *p = dev_map_random(&self->dev, 0, PAGES, RW);
	int fd = self->dev.fd;

	if (backing_is_block(self->dev.store)) {
		EXPECT_EQ(5, lseek(fd, 5, SEEK_DATA));
		EXPECT_EQ(end, lseek(fd, 5, SEEK_HOLE));
		return;
	}
	EXPECT_EQ(-1, lseek(fd, 0, SEEK_DATA));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(0, lseek(fd, 0, SEEK_HOLE));
	touch_pages(p, 8);
	EXPECT_EQ(-1, lseek(fd, 0, SEEK_DATA));
	store_pages(p + 3 * page, 2, 1);
	EXPECT_EQ(3 * page, lseek(fd, 0, SEEK_DATA));
	EXPECT_EQ(3 * page + 5, lseek(fd, 3 * page + 5, SEEK_DATA));
	EXPECT_EQ(5 * page, lseek(fd, 3 * page, SEEK_HOLE));
	EXPECT_EQ(17, lseek(fd, 17, SEEK_HOLE));
	ASSERT_EQ(0, fsync(fd));
	dev_evict(&self->dev);
	EXPECT_EQ(3 * page, lseek(fd, 0, SEEK_DATA));
	EXPECT_EQ(-1, lseek(fd, 5 * page, SEEK_DATA));
	EXPECT_EQ(ENXIO, errno);
	ASSERT_EQ(1, pwrite(fd, "x", 1, end - 1));
	EXPECT_EQ(end - page, lseek(fd, 5 * page, SEEK_DATA));
	EXPECT_EQ(end, lseek(fd, end - page, SEEK_HOLE));
	ASSERT_EQ(0, dev_punch(&self->dev, 3, 2));
	EXPECT_EQ(end - page, lseek(fd, 0, SEEK_DATA));
	EXPECT_EQ(-1, lseek(fd, end, SEEK_DATA));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(-1, lseek(fd, end, SEEK_HOLE));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(-1, lseek(fd, -1, SEEK_DATA));
	EXPECT_EQ(ENXIO, errno);
}

static long read_all(int fd, char *buf, long len)
{
	long done = 0, n;

	while (done < len && (n = read(fd, buf + done, len - done)) > 0)
		done += n;
	return done;
}

TEST_F(io, splice_both_ways)
{
	long page = self->dev.page, from = 10, to = 8 * page + 3, done = 0, n;
	int pipefd[2];

	dev_fill(&self->dev, 0, 4, 1);
	ASSERT_EQ(0, pipe(pipefd));
	while (done < 3 * page) {
		loff_t in = from + done, out = to + done;

		n = splice(self->dev.fd, &in, pipefd[1], NULL, 3 * page - done, 0);
		ASSERT_LT(0, n);
		ASSERT_EQ(n, splice(pipefd[0], NULL, self->dev.fd, &out, n, 0));
		done += n;
	}
	EXPECT_EQ(3 * page, moved(&self->dev, read_bytes));
	EXPECT_EQ(3 * page, moved(&self->dev, write_bytes));
	EXPECT_EQ(0, memcmp(dev_map(&self->dev, 0, 4, PROT_READ) + from,
			    dev_map(&self->dev, 8, 4, PROT_READ) + 3, 3 * page));
	EXPECT_EQ(0, splice(self->dev.fd, &(loff_t){ PAGES * page }, pipefd[1], NULL, 1, 0));
}

TEST_F(io, splice_sees_stores)
{
	char *p = dev_map(&self->dev, 0, 1, RW), buf[6] = "";
	loff_t at = 0;
	int pipefd[2];

	ASSERT_EQ(0, pipe(pipefd));
	strcpy(p, "fresh");
	ASSERT_EQ(6, splice(self->dev.fd, &at, pipefd[1], NULL, 6, 0));
	ASSERT_EQ(6, read(pipefd[0], buf, 6));
	EXPECT_STREQ("fresh", buf);
}

TEST_F(io, sendfile_out)
{
	long page = self->dev.page, len = 2 * page + 5;
	char *buf = malloc(len), *p;
	loff_t at = 7;
	int sv[2];

	dev_fill(&self->dev, 0, 4, 2);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	ASSERT_EQ(len, sendfile(sv[0], self->dev.fd, &at, len));
	ASSERT_EQ(len, read_all(sv[1], buf, len));
	p = dev_map(&self->dev, 0, 4, PROT_READ);
	EXPECT_EQ(0, memcmp(p + 7, buf, len));
	EXPECT_EQ(len, moved(&self->dev, read_bytes));
	free(buf);
}

TEST_F(io, sendfile_in)
{
	char path[] = "/tmp/scope-io-XXXXXX", *p = dev_map(&self->dev, 0, 4, PROT_READ);
	long len = 2 * self->dev.page + 9;
	int file = mkstemp(path);
	char *buf = malloc(len);
	loff_t at = 0;

	ASSERT_LE(0, file);
	unlink(path);
	memset(buf, 's', len);
	ASSERT_EQ(len, write(file, buf, len));
	ASSERT_EQ(11, lseek(self->dev.fd, 11, SEEK_SET));
	ASSERT_EQ(len, sendfile(self->dev.fd, file, &at, len));
	EXPECT_EQ(0, memcmp(p + 11, buf, len));
	EXPECT_EQ(0, p[11 + len]);
	EXPECT_EQ(len, moved(&self->dev, write_bytes));
	close(file);
	free(buf);
}

/* vmsplice hands the page itself to the pipe. */
TEST_F(io, vmsplice_shares_the_page)
{
	char *p = dev_map(&self->dev, 0, 1, RW), buf[6] = "";
	struct iovec iov = { p, 6 };
	int pipefd[2];

	strcpy(p, "first");
	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_EQ(6, vmsplice(pipefd[1], &iov, 1, 0));
	ASSERT_EQ(6, pwrite(self->dev.fd, "other", 6, 0));
	ASSERT_EQ(6, read(pipefd[0], buf, 6));
	EXPECT_STREQ("other", buf);
}

/* The kernel copies from the very page that it has locked: it must not wait for itself. */
TEST_F(io, write_from_the_own_mapping)
{
	long page = self->dev.page;
	char *p;

	dev_fill(&self->dev, 0, 8, 3);
	p = dev_map_random(&self->dev, 0, 16, RW);
	ASSERT_EQ(page, pwrite(self->dev.fd, p, page, 0));
	EXPECT_EQ(-1, page_differs(p, page, 0, 3));
	dev_evict(&self->dev);
	ASSERT_EQ(8 * page, pwrite(self->dev.fd, p, 8 * page, 8 * page));
	EXPECT_EQ(0, memcmp(p, p + 8 * page, 8 * page));
	dev_evict(&self->dev);
	/* Shifted over itself, page by page cold. */
	ASSERT_EQ(page, pwrite(self->dev.fd, p + 1, page, page));
	EXPECT_EQ(0, memcmp(p + page, p + 1, page - 1));
}

TEST_F(io, read_into_the_own_mapping)
{
	long page = self->dev.page;
	char *p;

	dev_fill(&self->dev, 0, 4, 4);
	p = dev_map_random(&self->dev, 0, 8, RW);
	ASSERT_EQ(4 * page, pread(self->dev.fd, p + 4 * page, 4 * page, 0));
	EXPECT_EQ(0, memcmp(p, p + 4 * page, 4 * page));
	dev_evict(&self->dev);
	ASSERT_EQ(page, pread(self->dev.fd, p, page, 0));
	EXPECT_EQ(-1, page_differs(p, page, 0, 4));
}

TEST_F(io, nowait)
{
	char byte;
	struct iovec iov = { &byte, 1 };

	EXPECT_EQ(-1, preadv2(self->dev.fd, &iov, 1, 0, RWF_NOWAIT));
	EXPECT_EQ(EAGAIN, errno);
	ASSERT_EQ(1, pread(self->dev.fd, &byte, 1, 0));
	EXPECT_EQ(1, preadv2(self->dev.fd, &iov, 1, 0, RWF_NOWAIT));
	EXPECT_EQ(-1, pwritev2(self->dev.fd, &iov, 1, 0, RWF_NOWAIT));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
}

/* A write changes the device, not the node that names it. */
TEST_F(io, the_nodes_times_stay_put)
{
	struct stat before, after;
	char *p = dev_map(&self->dev, 0, 2, RW);

	ASSERT_EQ(0, stat(self->dev.node, &before));
	sleep_ms(20);
	ASSERT_EQ(1, pwrite(self->dev.fd, "x", 1, 0));
	p[self->dev.page] = 1;
	ASSERT_EQ(0, fsync(self->dev.fd));
	ASSERT_EQ(0, stat(self->dev.node, &after));
	EXPECT_EQ(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
	EXPECT_EQ(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	EXPECT_TRUE(S_ISCHR(after.st_mode));
}

SCOPE_MAIN
