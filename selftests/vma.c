// SPDX-License-Identifier: GPL-2.0
/* Mappings themselves: protection, moving, growing, splitting, locking, and where they end. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	256
#define N	16

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif

#define RW	(PROT_READ | PROT_WRITE)

DEVICE_FIXTURE(vma, PAGES);

/* errno of mmap, or 0. */
static int mmap_errno(int fd, size_t len, int prot, int flags, off_t offset)
{
	void *p = mmap(NULL, len, prot, flags, fd, offset);

	if (p == MAP_FAILED)
		return errno;
	munmap(p, len);
	return 0;
}

TEST_F(vma, offsets_and_lengths)
{
	long page = self->dev.page, end = PAGES * page;
	int fd = self->dev.fd;

	EXPECT_EQ(0, mmap_errno(fd, page, PROT_READ, MAP_SHARED, end - page));
	EXPECT_EQ(0, mmap_errno(fd, end, PROT_READ, MAP_SHARED, 0));
	EXPECT_EQ(0, mmap_errno(fd, 4 * end, PROT_READ, MAP_SHARED, 0));
	EXPECT_EQ(0, mmap_errno(fd, 100, PROT_READ, MAP_PRIVATE, page));
	EXPECT_EQ(EINVAL, mmap_errno(fd, page, PROT_READ, MAP_SHARED, end));
	EXPECT_EQ(EINVAL, mmap_errno(fd, page, PROT_READ, MAP_SHARED, end + page));
	EXPECT_EQ(EINVAL, mmap_errno(fd, page, PROT_READ, MAP_PRIVATE, end));
	EXPECT_EQ(EINVAL, mmap_errno(fd, page, PROT_READ, MAP_SHARED, page / 2));
	EXPECT_EQ(EINVAL, mmap_errno(fd, 0, PROT_READ, MAP_SHARED, 0));
	EXPECT_NE(0, mmap_errno(fd, page, PROT_READ, MAP_SHARED, -page));
	EXPECT_NE(0, mmap_errno(fd, page, PROT_READ, MAP_SHARED, (off_t)(1UL << 63) - page));
}

TEST_F(vma, the_end_is_exact)
{
	char *p = dev_map_random(&self->dev, PAGES - 2, 4, RW);
	char *end = p + 2 * self->dev.page;

	EXPECT_EQ(0, try_load(end - 1));
	EXPECT_EQ(0, try_store(end - 1, 5));
	EXPECT_EQ(SIGBUS, try_load(end));
	EXPECT_EQ(SIGBUS, try_store(end, 5));
	EXPECT_EQ(SIGBUS, try_load(end + 2 * self->dev.page - 1));
	EXPECT_EQ(5, end[-1]);
	EXPECT_EQ(1, now(&self->dev, pages_dirty));
}

TEST_F(vma, private_mapping_ends_there_too)
{
	char *p = dev_map_flags(&self->dev, PAGES - 1, 2, RW, MAP_PRIVATE);

	EXPECT_EQ(0, try_store(p + self->dev.page - 1, 1));
	EXPECT_EQ(SIGBUS, try_store(p + self->dev.page, 1));
	EXPECT_EQ(SIGBUS, try_load(p + self->dev.page));
}

/* A system call gets EFAULT where a load gets a signal. */
TEST_F(vma, beyond_the_end_is_efault_in_calls)
{
	char *p = dev_map(&self->dev, PAGES - 1, 2, RW);
	int pipefd[2];

	ASSERT_EQ(0, pipe(pipefd));
	EXPECT_EQ(-1, write(pipefd[1], p + self->dev.page, 1));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(1, write(pipefd[1], p, 1));
	EXPECT_EQ(-1, read(pipefd[0], p + self->dev.page, 1));
	EXPECT_EQ(EFAULT, errno);
}

TEST_F(vma, protection_against_open_mode)
{
	int ro = dev_open(&self->dev, O_RDONLY);
	int wo = dev_open(&self->dev, O_WRONLY);
	long page = self->dev.page;
	char *p;

	EXPECT_EQ(0, mmap_errno(ro, page, PROT_READ, MAP_SHARED, 0));
	EXPECT_EQ(0, mmap_errno(ro, page, RW, MAP_PRIVATE, 0));
	EXPECT_EQ(EACCES, mmap_errno(ro, page, RW, MAP_SHARED, 0));
	EXPECT_EQ(EACCES, mmap_errno(ro, page, PROT_WRITE, MAP_SHARED, 0));
	EXPECT_EQ(EACCES, mmap_errno(wo, page, PROT_READ, MAP_SHARED, 0));
	EXPECT_EQ(EACCES, mmap_errno(wo, page, PROT_WRITE, MAP_SHARED, 0));
	p = mmap(NULL, page, PROT_READ, MAP_SHARED, ro, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, mprotect(p, page, RW));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(SIGSEGV, try_store(p, 1));
	munmap(p, page);
	close(ro);
	close(wo);
}

TEST_F(vma, protection_is_enforced)
{
	char *none = dev_map(&self->dev, 0, 1, PROT_NONE);
	char *ro = dev_map(&self->dev, 0, 1, PROT_READ);
	char *wo = dev_map(&self->dev, 0, 1, PROT_WRITE);
	char *rw = dev_map(&self->dev, 0, 1, RW);

	EXPECT_EQ(SIGSEGV, try_load(none));
	EXPECT_EQ(SIGSEGV, try_store(none, 1));
	EXPECT_EQ(SIGSEGV, try_store(ro, 1));
	EXPECT_EQ(0, moved(&self->dev, pages_dirtied));
	EXPECT_EQ(0, try_store(wo, 2));
	EXPECT_EQ(0, try_load(ro));
	EXPECT_EQ(0, try_store(rw, 3));
	EXPECT_EQ(3, *ro);
}

TEST_F(vma, mprotect_takes_and_gives_back)
{
	char *p = dev_map_random(&self->dev, 0, 1, RW);

	*p = 1;
	ASSERT_EQ(0, mprotect(p, self->dev.page, PROT_READ));
	EXPECT_EQ(SIGSEGV, try_store(p, 2));
	EXPECT_EQ(1, *p);
	ASSERT_EQ(0, mprotect(p, self->dev.page, PROT_NONE));
	EXPECT_EQ(SIGSEGV, try_load(p));
	ASSERT_EQ(0, mprotect(p, self->dev.page, RW));
	EXPECT_EQ(0, try_store(p, 3));
	EXPECT_EQ(3, *p);
	EXPECT_EQ(1, moved(&self->dev, pages_dirtied));
}

/* Back to writable after a writeback: the page is clean, so the store has to be noticed. */
TEST_F(vma, mprotect_does_not_hide_stores)
{
	char *p = dev_map_random(&self->dev, 0, 1, RW);

	*p = 1;
	ASSERT_EQ(0, fsync(self->dev.fd));
	ASSERT_EQ(0, mprotect(p, self->dev.page, PROT_READ));
	ASSERT_EQ(0, mprotect(p, self->dev.page, RW));
	*p = 2;
	EXPECT_EQ(2, moved(&self->dev, mkwrite));
	EXPECT_EQ(1, now(&self->dev, pages_dirty));
}

TEST_F(vma, exec)
{
#if defined(__x86_64__)
	static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
#elif defined(__aarch64__)
	static const unsigned char code[] = { 0x40, 5, 0x80, 0x52, 0xc0, 3, 0x5f, 0xd6 };
#else
	static const unsigned char code[1];
#endif
	int (*fn)(void);
	char *p;

	if (sizeof(code) == 1)
		SKIP(return, "no machine code for this processor");
	ASSERT_EQ((long)sizeof(code), pwrite(self->dev.fd, code, sizeof(code), 0));
	p = mmap(NULL, self->dev.page, PROT_READ | PROT_EXEC, MAP_SHARED, self->dev.fd, 0);
	if (p == MAP_FAILED && errno == EPERM)
		SKIP(return, "/dev is mounted noexec");
	ASSERT_NE(MAP_FAILED, p);
	memcpy(&fn, &p, sizeof(fn));
	EXPECT_EQ(42, fn());
	EXPECT_EQ(SIGSEGV, try_store(p, 0));
	munmap(p, self->dev.page);
}

/* Areas split and merge again: a ->close of the device's would keep them apart for ever. */
TEST_F(vma, split_and_merge)
{
	long page = self->dev.page;
	char *p = dev_map(&self->dev, 0, 3 * N, RW);

	EXPECT_EQ(1, count_areas(p, 3 * N * page));
	ASSERT_EQ(0, mprotect(p + N * page, N * page, PROT_READ));
	EXPECT_EQ(3, count_areas(p, 3 * N * page));
	ASSERT_EQ(0, mprotect(p + N * page, N * page, RW));
	EXPECT_EQ(1, count_areas(p, 3 * N * page));
}

TEST_F(vma, neighbours_merge)
{
	long page = self->dev.page;
	char *p = dev_map(&self->dev, 0, 2 * N, RW);

	ASSERT_EQ(p, mmap(p, N * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(2, count_areas(p, 2 * N * page));
	ASSERT_EQ(p, mmap(p, N * page, RW, MAP_SHARED | MAP_FIXED, self->dev.fd, 0));
	EXPECT_EQ(1, count_areas(p, 2 * N * page));
}

TEST_F(vma, hole_in_a_mapping)
{
	long page = self->dev.page;
	char *p = dev_map(&self->dev, 0, 3, RW);

	NEED_SINGLE_PAGES(&self->dev);
	store_pages(p, 3, 1);
	ASSERT_EQ(0, munmap(p + page, page));
	EXPECT_EQ(SIGSEGV, try_load(p + page));
	EXPECT_EQ(0, try_load(p));
	EXPECT_EQ(0, try_load(p + 2 * page));
	EXPECT_EQ(3, now(&self->dev, pages_dirty));
}

TEST_F(vma, fixed_replaces_and_noreplace_refuses)
{
	long page = self->dev.page;
	char *p = dev_map(&self->dev, 0, 2, RW);

	ASSERT_EQ(1, pwrite(self->dev.fd, "A", 1, 0));
	ASSERT_EQ(1, pwrite(self->dev.fd, "B", 1, 9 * page));
	EXPECT_EQ('A', *p);
	EXPECT_EQ(MAP_FAILED, mmap(p, page, RW, MAP_SHARED | MAP_FIXED_NOREPLACE, self->dev.fd,
				   9 * page));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ('A', *p);
	ASSERT_EQ(p, mmap(p, page, RW, MAP_SHARED | MAP_FIXED, self->dev.fd, 9 * page));
	EXPECT_EQ('B', *p);
}

TEST_F(vma, mremap_grows)
{
	long page = self->dev.page;
	char *p = dev_map(&self->dev, PAGES - 2 * N, N, RW);
	char *q;

	*p = 1;
	ASSERT_EQ(1, pwrite(self->dev.fd, "n", 1, (PAGES - 1) * page));
	dev_forget(&self->dev, p);
	q = mremap(p, N * page, (2 * N + 1) * page, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_EQ(1, *q);
	EXPECT_EQ('n', q[(2 * N - 1) * page]);
	EXPECT_EQ(SIGBUS, try_load(q + 2 * N * page));
	munmap(q, (2 * N + 1) * page);
}

TEST_F(vma, mremap_moves)
{
	long page = self->dev.page;
	char *p = dev_map(&self->dev, 3, N, RW);
	char *to = mmap(NULL, N * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	store_pages(p, N, 8);
	ASSERT_EQ(to, mremap(p, N * page, N * page, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_EQ(SIGSEGV, try_load(p));
	EXPECT_EQ(8, to[(N - 1) * page]);
	dev_forget(&self->dev, p);
	munmap(to, N * page);
}

TEST_F(vma, mremap_dontunmap)
{
	long page = self->dev.page;
	char *p = dev_map_random(&self->dev, 0, N, RW);
	char *q;

	store_pages(p, N, 8);
	/* The C library hands the address on whether it is asked for or not. */
	q = mremap(p, N * page, N * page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	if (q == MAP_FAILED && errno == EINVAL)
		SKIP(return, "this kernel moves only anonymous memory with MREMAP_DONTUNMAP");
	ASSERT_NE(MAP_FAILED, q);
	stats_mark(&self->dev);
	EXPECT_EQ(8, q[page]);
	EXPECT_EQ(0, moved(&self->dev, fault_read));
	EXPECT_EQ(8, p[page]);
	EXPECT_EQ(1, moved(&self->dev, fault_read));
	munmap(q, N * page);
}

TEST_F(vma, mlock_makes_and_keeps_resident)
{
	char *p = dev_map(&self->dev, 0, N, PROT_READ);

	ASSERT_EQ(0, mlock(p, N * self->dev.page));
	EXPECT_EQ(N, dev_mincore(&self->dev, 0, N));
	EXPECT_EQ(N * self->dev.page / 1024, smaps_kb(p, "Locked"));
	stats_mark(&self->dev);
	touch_pages(p, N);
	EXPECT_EQ(0, moved(&self->dev, fault_read) + moved(&self->dev, fault_around));
	EXPECT_EQ(0, file_write("/proc/sys/vm/drop_caches", "1"));
	EXPECT_EQ(N, dev_mincore(&self->dev, 0, N));
	ASSERT_EQ(0, munlock(p, N * self->dev.page));
	EXPECT_EQ(0, smaps_kb(p, "Locked"));
}

TEST_F(vma, mlock_onfault)
{
	char *p = dev_map_random(&self->dev, 0, N, PROT_READ);

	ASSERT_EQ(0, mlock2(p, N * self->dev.page, MLOCK_ONFAULT));
	EXPECT_EQ(0, now(&self->dev, pages_cached));
	touch_pages(p, 3);
	EXPECT_EQ(3, now(&self->dev, pages_cached));
	ASSERT_EQ(0, munlock(p, N * self->dev.page));
}

/* A locked shared mapping is written back and notified like any other. */
TEST_F(vma, mlock_and_msync)
{
	char *p = dev_map_random(&self->dev, 0, N, RW);

	ASSERT_EQ(0, mlock(p, N * self->dev.page));
	store_pages(p, N, 1);
	ASSERT_EQ(0, msync(p, N * self->dev.page, MS_SYNC));
	EXPECT_EQ(N, moved(&self->dev, pages_cleaned));
	EXPECT_EQ(0, now(&self->dev, pages_dirty));
	stats_mark(&self->dev);
	store_pages(p, 1, 2);
	EXPECT_EQ(1, moved(&self->dev, mkwrite));
	ASSERT_EQ(0, munlock(p, N * self->dev.page));
}

TEST_F(vma, populate)
{
	char *p = dev_map_flags(&self->dev, 0, N, RW, MAP_SHARED | MAP_POPULATE);

	EXPECT_EQ(N * self->dev.page / 1024, smaps_kb(p, "Rss"));
	EXPECT_EQ(0, moved(&self->dev, pages_dirtied));
	stats_mark(&self->dev);
	touch_pages(p, N);
	EXPECT_EQ(0, moved(&self->dev, fault_read) + moved(&self->dev, fault_around));
	store_pages(p, N, 1);
	EXPECT_EQ(N, moved(&self->dev, mkwrite));
	EXPECT_EQ(0, moved(&self->dev, fault_write));
}

TEST_F(vma, locked_flag)
{
	char *p = dev_map_flags(&self->dev, 0, N, PROT_READ, MAP_SHARED | MAP_LOCKED);

	EXPECT_EQ(N, dev_mincore(&self->dev, 0, N));
	EXPECT_TRUE(smaps_flag(p, "lo"));
}

/* Nothing special: no PFN map, no mixed map, may be expanded and dumped. */
TEST_F(vma, is_an_ordinary_area)
{
	char *p = dev_map(&self->dev, 0, N, RW);
	static const char *const special[] = { "pf", "mm", "io", "de", "dd", "dc" };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(special); i++) {
		EXPECT_FALSE(smaps_flag(p, special[i])) {
			TH_LOG("VmFlags has %s", special[i]);
		}
	}
	EXPECT_TRUE(smaps_flag(p, "sh"));
	store_pages(p, 2, 1);
	EXPECT_EQ(2 * self->dev.page / 1024,
		  smaps_kb(p, "Shared_Dirty") + smaps_kb(p, "Private_Dirty"));
}

TEST(huge_alignment)
{
	long huge = file_number("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
	struct scope_dev dev;
	char *p;
	int i;

	NEED_DEVICES();
	if (huge <= 0)
		SKIP(return, "this kernel has no transparent huge pages");
	dev_create(&dev, "ram", 8 * huge, 0);
	for (i = 0; i < 3; i++) {
		/* Neither the offset nor what was mapped before may disturb it. */
		p = dev_map(&dev, i, (4 * huge) / dev.page, PROT_READ);
		EXPECT_EQ(0, (long)(((unsigned long)p - i * dev.page) % huge));
		dev_map(&dev, 0, 1, PROT_READ);
	}
	EXPECT_EQ(0, dev_destroy(&dev, false));
}

SCOPE_MAIN
