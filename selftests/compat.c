// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls as a 32-bit program makes them: the same structs through the 32-bit system call entry,
 * which takes 32-bit pointers and ends in ->compat_ioctl.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/elf.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	64
/* Memory that 32 bits can point to */
#define LOW_SIZE	(64 << 10)

#if defined(__x86_64__)
#define NR_IOCTL_32	54

static long ioctl32(int fd, unsigned int cmd, void *arg)
{
	long ret;

	/* r8 to r11 are not kept by the 32-bit entry. */
	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(NR_IOCTL_32), "b"((long)fd), "c"((long)cmd), "d"(arg)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

static const char *no_compat(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		ioctl32(-1, 0, NULL);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		return "this kernel runs no 32-bit programs";
	return NULL;
}

static char *map_low(void)
{
	return mmap(NULL, LOW_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
}
#elif defined(__aarch64__)
/*
 * Only a 32-bit program can make a 32-bit system call here.  One is made for each call: it maps the
 * memory where its parent has it, calls ioctl, and ends with the error for its status.
 */
#define LOW_AT		0x40000000
#define LOAD_AT		0x10000
#define NR_EXIT_32	1
#define NR_IOCTL_32	54
#define NR_MMAP2_32	192
#define NOT_RUN		255
#define EF_ARM_EABI5	0x05000000

struct program32 {
	struct elf32_hdr ehdr;
	struct elf32_phdr phdr;
	__u32 code[40];
};

static int low_fd = -1;

/* movw, movt */
static __u32 *a32_set(__u32 *code, __u32 reg, __u32 value)
{
	*code++ = 0xe3000000 | (value >> 12 & 0xf) << 16 | reg << 12 | (value & 0xfff);
	*code++ = 0xe3400000 | value >> 28 << 16 | reg << 12 | (value >> 16 & 0xfff);
	return code;
}

/* svc, with the number in r7 */
static __u32 *a32_call(__u32 *code, __u32 nr, unsigned int n, const __u32 *args)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		code = a32_set(code, i, args[i]);
	code = a32_set(code, 7, nr);
	*code++ = 0xef000000;
	return code;
}

static void make_program(struct program32 *p, int fd, unsigned int cmd, void *arg)
{
	const __u32 map[] = { LOW_AT, LOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			      low_fd, 0 };
	const __u32 call[] = { fd, cmd, (uintptr_t)arg };
	__u32 *code = p->code;

	*p = (struct program32) {
		.ehdr = {
			.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB,
				     EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = EM_ARM,
			.e_version = EV_CURRENT,
			.e_entry = LOAD_AT + offsetof(struct program32, code),
			.e_phoff = offsetof(struct program32, phdr),
			.e_flags = EF_ARM_EABI5,
			.e_ehsize = sizeof(p->ehdr),
			.e_phentsize = sizeof(p->phdr),
			.e_phnum = 1,
		},
		.phdr = {
			.p_type = PT_LOAD,
			.p_vaddr = LOAD_AT,
			.p_paddr = LOAD_AT,
			.p_filesz = sizeof(*p),
			.p_memsz = sizeof(*p),
			.p_flags = PF_R | PF_X,
			.p_align = LOAD_AT,
		},
	};
	code = a32_call(code, NR_MMAP2_32, 6, map);
	code = a32_call(code, NR_IOCTL_32, 3, call);
	*code++ = 0xe2600000;	/* rsb r0, r0, #0 */
	a32_call(code, NR_EXIT_32, 0, NULL);
}

static void run_program(int file, int fd)
{
	char name[] = "ioctl32";
	char *const argv[] = { name, NULL }, *const env[] = { NULL };

	fcntl(fd, F_SETFD, 0);
	fexecve(file, argv, env);
	_exit(NOT_RUN);
}

static long ioctl32(int fd, unsigned int cmd, void *arg)
{
	int file = memfd_create("ioctl32", MFD_CLOEXEC), status;
	struct program32 program;
	pid_t pid;

	make_program(&program, fd, cmd, arg);
	if (write(file, &program, sizeof(program)) != sizeof(program))
		fatal("memfd: %m");
	pid = fork();
	if (!pid)
		run_program(file, fd);
	close(file);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		fatal("the 32-bit program ended with status %#x", status);
	return -WEXITSTATUS(status);
}

static const char *no_compat(void)
{
	if (ioctl32(-1, 0, NULL) != -EBADF)
		return "this kernel runs no 32-bit programs";
	return NULL;
}

static char *map_low(void)
{
	low_fd = memfd_create("low", 0);
	if (ftruncate(low_fd, LOW_SIZE))
		return MAP_FAILED;
	return mmap((void *)LOW_AT, LOW_SIZE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED_NOREPLACE, low_fd, 0);
}
#else
static long ioctl32(int fd, unsigned int cmd, void *arg)
{
	(void)fd, (void)cmd, (void)arg;
	return -ENOSYS;
}

static const char *no_compat(void)
{
	return "no way to make 32-bit system calls on this processor";
}

static char *map_low(void)
{
	return MAP_FAILED;
}
#endif

FIXTURE(compat) {
	struct scope_dev dev;
	char *low;		/* memory that 32 bits can point to */
};

FIXTURE_SETUP(compat)
{
	const char *why = no_compat();

	NEED_DEVICES();
	if (why)
		SKIP_SETUP("%s", why);
	vm_quiet();
	dev_create(&self->dev, "ram", PAGES * sysconf(_SC_PAGESIZE), 0);
	self->low = map_low();
	ASSERT_NE(MAP_FAILED, self->low);
}

FIXTURE_TEARDOWN(compat)
{
	EXPECT_STREQ("", dev_books(&self->dev));
	EXPECT_EQ(0, dev_destroy(&self->dev, _metadata->aborted));
}

TEST_F(compat, info)
{
	struct mmapscope_info *low = (void *)self->low, info;

	dev_info(&self->dev, &info);
	low->size = sizeof(*low);
	EXPECT_EQ(0, ioctl32(self->dev.fd, MMAPSCOPE_IOC_INFO, low));
	EXPECT_EQ(0, memcmp(low, &info, sizeof(info)));
}

TEST_F(compat, stats)
{
	struct mmapscope_stats *arg = (void *)self->low;
	__u64 *values = (void *)(self->low + 256), expect[MMAPSCOPE_NR_STATS];

	touch_pages(dev_map(&self->dev, 0, 8, PROT_READ), 8);
	stats_read(&self->dev, expect);
	arg->size = sizeof(*arg);
	arg->count = MMAPSCOPE_NR_STATS;
	arg->values = (uintptr_t)values;
	EXPECT_EQ(0, ioctl32(self->dev.fd, MMAPSCOPE_IOC_STATS, arg));
	EXPECT_EQ(0, memcmp(values, expect, sizeof(expect)));
}

TEST_F(compat, evict_punch_reset)
{
	struct mmapscope_evict *evict = (void *)self->low;
	struct mmapscope_punch *punch = (void *)self->low;
	struct mmapscope_reset *reset = (void *)self->low;

	dev_fill(&self->dev, 0, 8, 1);
	*evict = (struct mmapscope_evict) { .size = sizeof(*evict), .length = 4 * self->dev.page };
	EXPECT_EQ(0, ioctl32(self->dev.fd, MMAPSCOPE_IOC_EVICT, evict));
	*punch = (struct mmapscope_punch) { .size = sizeof(*punch), .length = 4 * self->dev.page };
	EXPECT_EQ(0, ioctl32(self->dev.fd, MMAPSCOPE_IOC_PUNCH, punch));
	EXPECT_EQ(4, now(&self->dev, store_pages));
	*reset = (struct mmapscope_reset) { .size = sizeof(*reset) };
	EXPECT_EQ(0, ioctl32(self->dev.fd, MMAPSCOPE_IOC_RESET, reset));
	EXPECT_EQ(0, now(&self->dev, pages_dirtied));
	self->dev.was_reset = true;
}

TEST_F(compat, create_list_remove)
{
	struct mmapscope_create *create = (void *)self->low;
	struct mmapscope_remove *rem = (void *)self->low;
	struct mmapscope_list *list = (void *)self->low;
	unsigned int id;

	*create = (struct mmapscope_create) {
		.size = sizeof(*create), .dev_size = 1ULL << 40, .id = MMAPSCOPE_ID_ANY,
	};
	ASSERT_EQ(0, ioctl32(self->dev.ctl, MMAPSCOPE_IOC_CREATE, create));
	id = create->id;
	*list = (struct mmapscope_list) {
		.size = sizeof(*list), .count = 1, .entry_size = sizeof(struct mmapscope_info),
		.entries = (uintptr_t)(self->low + 256),
	};
	EXPECT_EQ(0, ioctl32(self->dev.ctl, MMAPSCOPE_IOC_LIST, list));
	EXPECT_LE(2, list->count);
	*rem = (struct mmapscope_remove) { .size = sizeof(*rem), .id = id };
	EXPECT_EQ(0, ioctl32(self->dev.ctl, MMAPSCOPE_IOC_REMOVE, rem));
}

/* The one command that is not ours has another number there. */
TEST_F(compat, blkgetsize64)
{
	__u64 *low = (void *)self->low;

	EXPECT_EQ(0, ioctl32(self->dev.fd, _IOR(0x12, 114, __u32), low));
	EXPECT_EQ((__u64)PAGES * self->dev.page, *low);
}

TEST_F(compat, errors)
{
	struct mmapscope_info *low = (void *)self->low;

	EXPECT_EQ(-EFAULT, ioctl32(self->dev.fd, MMAPSCOPE_IOC_INFO, NULL));
	EXPECT_EQ(-ENOTTY, ioctl32(self->dev.fd, MMAPSCOPE_IOC_LIST, low));
	low->size = 3;
	EXPECT_EQ(-EINVAL, ioctl32(self->dev.fd, MMAPSCOPE_IOC_INFO, low));
	low->size = sizeof(*low) + 4;
	low[1].size = 1;
	EXPECT_EQ(-E2BIG, ioctl32(self->dev.fd, MMAPSCOPE_IOC_INFO, low));
}

SCOPE_MAIN
