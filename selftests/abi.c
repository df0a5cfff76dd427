// SPDX-License-Identifier: GPL-2.0
/* The form of the ioctls: sizes, flags, reserved fields, pointers, ranges, unknown commands. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#define PAGES	64

union any {
	__u32 size;
	struct {
		__u32 size, flags;
	} head;
	struct mmapscope_create create;
	struct mmapscope_remove remove;
	struct mmapscope_list list;
	struct mmapscope_info info;
	struct mmapscope_stats stats;
	struct mmapscope_reset reset;
	struct mmapscope_evict evict;
	struct mmapscope_punch punch;
	struct mmapscope_sync sync;
	struct mmapscope_resize resize;
	struct mmapscope_file file;
	struct mmapscope_policy policy;
	char bytes[256];
};

struct command {
	const char *name;
	unsigned int cmd;
	size_t size;
	__u32 flags;		/* those that are known */
	bool control;
	bool returns;
};

#define COMMAND(NAME, name, ...) \
	{ #NAME, MMAPSCOPE_IOC_##NAME, sizeof(struct mmapscope_##name), __VA_ARGS__ }

static const struct command commands[] = {
	COMMAND(CREATE, create, MMAPSCOPE_CREATE_READ_ONLY, true, true),
	COMMAND(REMOVE, remove, MMAPSCOPE_REMOVE_FORCE, true, true),
	COMMAND(LIST, list, 0, true, true),
	COMMAND(INFO, info, 0, false, true),
	COMMAND(STATS, stats, 0, false, true),
	COMMAND(RESET, reset, 0, false, false),
	COMMAND(EVICT, evict, MMAPSCOPE_EVICT_NO_WRITE, false, true),
	COMMAND(PUNCH, punch, 0, false, false),
	COMMAND(SYNC, sync, 0, false, false),
	COMMAND(RESIZE, resize, 0, false, false),
	COMMAND(FILE, file, 0, false, false),
	COMMAND(POLICY, policy, MMAPSCOPE_POLICY_SET, false, true),
};

DEVICE_FIXTURE(abi, PAGES);

static int fd_of(const struct scope_dev *d, const struct command *c)
{
	return c->control ? d->ctl : d->fd;
}

static int call(int fd, unsigned int cmd, void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	if (ret > 0 && cmd == MMAPSCOPE_IOC_FILE)
		ret = close(ret);
	return ret ? -errno : 0;
}

/* An argument that works.  CREATE and REMOVE get one that is refused late: nothing is left over. */
static int valid(const struct scope_dev *d, const struct command *c, union any *arg)
{
	memset(arg, 0, sizeof(*arg));
	arg->size = c->size;
	switch (c->cmd) {
	case MMAPSCOPE_IOC_CREATE:
		arg->create.dev_size = d->page;
		arg->create.id = d->id;
		return -EEXIST;
	case MMAPSCOPE_IOC_REMOVE:
		arg->remove.id = MMAPSCOPE_MAX_DEVICES - 1;
		return -ENOENT;
	case MMAPSCOPE_IOC_LIST:
		arg->list.entry_size = sizeof(struct mmapscope_info);
		return 0;
	case MMAPSCOPE_IOC_PUNCH:
		arg->punch.length = d->page;
		return 0;
	case MMAPSCOPE_IOC_RESIZE:
		arg->resize.dev_size = PAGES * d->page;
		return 0;
	}
	return 0;
}

static unsigned int count_devices(const struct scope_dev *d)
{
	struct mmapscope_list list = {
		.size = sizeof(list),
		.entry_size = sizeof(struct mmapscope_info),
	};

	if (ioctl(d->ctl, MMAPSCOPE_IOC_LIST, &list))
		fatal("list: %m");
	return list.count;
}

/* EXPECT for a loop over commands: says which one. */
#define EXPECT_CALL(expected, result) do {					\
	EXPECT_EQ(expected, result) {						\
		TH_LOG("%s", c->name);						\
	}									\
} while (0)

#define for_each_command(c) \
	for (c = commands; c < commands + ARRAY_SIZE(commands); c++)

TEST_F(abi, exact_size)
{
	const struct command *c;
	union any arg;
	int ret;

	for_each_command(c) {
		ret = valid(&self->dev, c, &arg);
		EXPECT_CALL(ret, call(fd_of(&self->dev, c), c->cmd, &arg));
		EXPECT_CALL(c->size, arg.size);
	}
}

TEST_F(abi, too_small)
{
	const struct command *c;
	union any arg;
	size_t size;

	for_each_command(c) {
		for (size = 0; size < c->size; size++) {
			valid(&self->dev, c, &arg);
			arg.size = size;
			EXPECT_CALL(-EINVAL, call(fd_of(&self->dev, c), c->cmd, &arg));
		}
	}
}

TEST_F(abi, larger_with_zeros)
{
	char *big = mmap(NULL, 2 * self->dev.page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct command *c;
	__u32 size;
	int ret;

	for_each_command(c) {
		for (size = c->size + 1; size <= c->size + 64; size++) {
			memset(big, 0, self->dev.page);
			ret = valid(&self->dev, c, (union any *)big);
			*(__u32 *)big = size;
			EXPECT_CALL(ret, call(fd_of(&self->dev, c), c->cmd, big));
			EXPECT_CALL(size, *(__u32 *)big);
		}
	}
	munmap(big, 2 * self->dev.page);
}

TEST_F(abi, larger_with_something)
{
	const struct command *c;
	union any arg;
	size_t i;

	for_each_command(c) {
		for (i = c->size; i < sizeof(arg); i += 7) {
			valid(&self->dev, c, &arg);
			arg.size = sizeof(arg);
			arg.bytes[i] = 1;
			EXPECT_CALL(-E2BIG, call(fd_of(&self->dev, c), c->cmd, &arg));
		}
		valid(&self->dev, c, &arg);
		arg.size = 0xffffffff;
		EXPECT_CALL(-E2BIG, call(fd_of(&self->dev, c), c->cmd, &arg));
	}
}

TEST_F(abi, unknown_flags)
{
	const struct command *c;
	union any arg;
	int bit;

	for_each_command(c) {
		for (bit = 0; bit < 32; bit++) {
			if (c->flags & 1U << bit)
				continue;
			valid(&self->dev, c, &arg);
			arg.head.flags = 1U << bit;
			EXPECT_CALL(-EINVAL, call(fd_of(&self->dev, c), c->cmd, &arg));
		}
	}
}

TEST_F(abi, reserved_fields)
{
	struct mmapscope_remove rem = { .size = sizeof(rem), .id = self->dev.id, .__reserved = 1 };
	struct mmapscope_stats stats = { .size = sizeof(stats), .__reserved = 1 };

	EXPECT_EQ(-EINVAL, call(self->dev.ctl, MMAPSCOPE_IOC_REMOVE, &rem));
	EXPECT_EQ(-EINVAL, call(self->dev.fd, MMAPSCOPE_IOC_STATS, &stats));
}

TEST_F(abi, bad_pointers)
{
	long page = self->dev.page;
	char *edge = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	const struct command *c;
	union any arg;
	char *at;
	int ret;

	munmap(edge + page, page);
	for_each_command(c) {
		EXPECT_CALL(-EFAULT, call(fd_of(&self->dev, c), c->cmd, NULL));
		EXPECT_CALL(-EFAULT, call(fd_of(&self->dev, c), c->cmd, (void *)-64));
		EXPECT_CALL(-EFAULT, call(fd_of(&self->dev, c), c->cmd, edge + page - 2));
		/* The struct ends where memory ends: not one byte more is read. */
		ret = valid(&self->dev, c, &arg);
		at = edge + page - c->size;
		memcpy(at, &arg, c->size);
		EXPECT_CALL(ret, call(fd_of(&self->dev, c), c->cmd, at));
		memcpy(at, &arg, c->size);
		*(__u32 *)at = c->size + 8;
		EXPECT_CALL(-EFAULT, call(fd_of(&self->dev, c), c->cmd, at));
	}
	munmap(edge, page);
}

/* A command that cannot say what it did must not have done it. */
TEST_F(abi, read_only_argument)
{
	long page = self->dev.page;
	union any *arg = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			      -1, 0);
	unsigned int before = count_devices(&self->dev);
	const struct command *c;
	int ret;

	for_each_command(c) {
		mprotect(arg, page, PROT_READ | PROT_WRITE);
		ret = valid(&self->dev, c, arg);
		if (c->cmd == MMAPSCOPE_IOC_CREATE)
			arg->create.id = MMAPSCOPE_ID_ANY;
		if (c->cmd == MMAPSCOPE_IOC_REMOVE)
			arg->remove.id = self->dev.id;
		mprotect(arg, page, PROT_READ);
		EXPECT_CALL(c->returns ? -EFAULT : ret, call(fd_of(&self->dev, c), c->cmd, arg));
	}
	EXPECT_EQ(before, count_devices(&self->dev));
	munmap(arg, page);
}

TEST_F(abi, unknown_commands)
{
	union any arg = { .size = sizeof(arg) };
	const struct command *c;
	unsigned int nr;
	bool known;

	for (nr = 0; nr < 256; nr++) {
		known = false;
		for_each_command(c)
			known |= _IOC_NR(c->cmd) == nr;
		if (known)
			continue;
		EXPECT_EQ(-ENOTTY, call(self->dev.fd, _IO(MMAPSCOPE_IOC_TYPE, nr), &arg));
		EXPECT_EQ(-ENOTTY, call(self->dev.ctl, _IO(MMAPSCOPE_IOC_TYPE, nr), &arg));
	}
	for_each_command(c) {
		int fd = fd_of(&self->dev, c);
		int other = c->control ? self->dev.fd : self->dev.ctl;

		/* Another node's, another type, or with the bits that _IOWR would set. */
		EXPECT_CALL(-ENOTTY, call(other, c->cmd, &arg));
		EXPECT_CALL(-ENOTTY, call(fd, _IO('x', _IOC_NR(c->cmd)), &arg));
		EXPECT_CALL(-ENOTTY, call(fd, c->cmd | 0xc0100000, &arg));
	}
}

TEST_F(abi, create_values)
{
	struct mmapscope_create ok = {
		.size = sizeof(ok), .dev_size = self->dev.page, .id = MMAPSCOPE_ID_ANY,
	};
	unsigned int before = count_devices(&self->dev);
	struct mmapscope_create arg;
	int ctl = self->dev.ctl;

#define TRY(field, value) (arg = ok, arg.field = value, call(ctl, MMAPSCOPE_IOC_CREATE, &arg))
	EXPECT_EQ(-EINVAL, TRY(dev_size, 0));
	EXPECT_EQ(-EINVAL, TRY(dev_size, 1));
	EXPECT_EQ(-EINVAL, TRY(dev_size, self->dev.page + 1));
	EXPECT_EQ(-EINVAL, TRY(dev_size, self->dev.page / 2));
	EXPECT_EQ(-EINVAL, TRY(dev_size, 1ULL << 63));
	EXPECT_EQ(-EINVAL, TRY(dev_size, ~0ULL));
	EXPECT_EQ(-EINVAL, TRY(store, 2));
	EXPECT_EQ(-EINVAL, TRY(store, 0xffffffff));
	EXPECT_EQ(-EINVAL, TRY(id, MMAPSCOPE_MAX_DEVICES));
	EXPECT_EQ(-EINVAL, TRY(id, MMAPSCOPE_ID_ANY - 1));
	EXPECT_EQ(-EEXIST, TRY(id, self->dev.id));
#undef TRY
	EXPECT_EQ(before, count_devices(&self->dev));
}

TEST_F(abi, remove_values)
{
	EXPECT_EQ(-ENOENT, dev_remove(self->dev.ctl, MMAPSCOPE_MAX_DEVICES - 1, 0, NULL));
	EXPECT_EQ(-ENOENT, dev_remove(self->dev.ctl, MMAPSCOPE_MAX_DEVICES, 0, NULL));
	EXPECT_EQ(-ENOENT, dev_remove(self->dev.ctl, 0xffffffff, MMAPSCOPE_REMOVE_FORCE, NULL));
	EXPECT_EQ(-EBUSY, dev_remove(self->dev.ctl, self->dev.id, 0, NULL));
}

TEST_F(abi, ranges)
{
	struct scope_dev *d = &self->dev;
	__u64 page = d->page, end = PAGES * page;
	struct {
		__u64 offset, length;
		int evict, punch;
	} range[] = {
		{ 0, end, 0, 0 },
		{ end - page, page, 0, 0 },
		{ 0, 0, 0, -EINVAL },
		{ end - page, 2 * page, 0, -EINVAL },
		{ 0, 1, -EINVAL, -EINVAL },
		{ 1, page, -EINVAL, -EINVAL },
		{ page / 2, page / 2, -EINVAL, -EINVAL },
		{ end, page, -EINVAL, -EINVAL },
		{ end, 0, -EINVAL, -EINVAL },
		{ -page, page, -EINVAL, -EINVAL },
		{ -page, 2 * page, -EINVAL, -EINVAL },
		{ page, -page, -EINVAL, -EINVAL },
		{ 1ULL << 63, page, -EINVAL, -EINVAL },
		{ page, 1ULL << 63, -EINVAL, -EINVAL },
		{ ~0ULL, ~0ULL, -EINVAL, -EINVAL },
	};
	struct mmapscope_punch punch;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(range); i++) {
		punch = (struct mmapscope_punch) { sizeof(punch), 0, range[i].offset,
						   range[i].length };
		EXPECT_EQ(range[i].evict, dev_evict_ioctl(d->fd, range[i].offset, range[i].length,
							  0, NULL)) {
			TH_LOG("evict %llx+%llx", range[i].offset, range[i].length);
		}
		EXPECT_EQ(range[i].punch, call(d->fd, MMAPSCOPE_IOC_PUNCH, &punch)) {
			TH_LOG("punch %llx+%llx", range[i].offset, range[i].length);
		}
	}
}

TEST_F(abi, stats_room)
{
	__u64 values[MMAPSCOPE_NR_STATS + 8], whole[MMAPSCOPE_NR_STATS];
	struct mmapscope_stats arg;
	unsigned int room, i;

	touch_pages(dev_map(&self->dev, 0, 8, PROT_READ), 8);
	stats_read(&self->dev, whole);
	for (room = 0; room <= MMAPSCOPE_NR_STATS + 8; room++) {
		memset(values, 0xee, sizeof(values));
		arg = (struct mmapscope_stats) {
			.size = sizeof(arg), .count = room, .values = (uintptr_t)values,
		};
		ASSERT_EQ(0, call(self->dev.fd, MMAPSCOPE_IOC_STATS, &arg));
		EXPECT_LE(MMAPSCOPE_NR_STATS, arg.count);
		for (i = 0; i < MMAPSCOPE_NR_STATS && i < room; i++)
			EXPECT_EQ(whole[i], values[i]);
		/* Later kernels may have more to say to who has room. */
		if (arg.count == MMAPSCOPE_NR_STATS || room <= MMAPSCOPE_NR_STATS)
			for (i = room < arg.count ? room : arg.count; i < ARRAY_SIZE(values); i++)
				EXPECT_EQ(0xeeeeeeeeeeeeeeeeULL, values[i]);
	}
	arg.count = 1;
	arg.values = 0;
	EXPECT_EQ(-EFAULT, call(self->dev.fd, MMAPSCOPE_IOC_STATS, &arg));
	arg.count = 0xffffffff;
	arg.values = (uintptr_t)-64L;
	EXPECT_EQ(-EFAULT, call(self->dev.fd, MMAPSCOPE_IOC_STATS, &arg));
	arg.count = 0;
	EXPECT_EQ(0, call(self->dev.fd, MMAPSCOPE_IOC_STATS, &arg));
}

TEST_F(abi, list_room)
{
	size_t known = sizeof(struct mmapscope_info), entry;
	unsigned int n = count_devices(&self->dev), i, found;
	char *buf = malloc(n * 4096 + 4096);
	struct mmapscope_list list;
	struct mmapscope_info *info;

	for (entry = known; entry <= 4096; entry += entry < 4080 ? 16 : 8) {
		memset(buf, 0xee, n * 4096 + 4096);
		list = (struct mmapscope_list) {
			.size = sizeof(list), .count = n + 1, .entry_size = entry,
			.entries = (uintptr_t)buf,
		};
		ASSERT_EQ(0, call(self->dev.ctl, MMAPSCOPE_IOC_LIST, &list));
		ASSERT_EQ(n, list.count);
		for (i = 0, found = 0; i < n; i++) {
			info = (void *)(buf + i * entry);
			EXPECT_EQ(known, info->size);
			EXPECT_EQ(0, entry > known ? buf[i * entry + entry - 1] : 0);
			EXPECT_TRUE(!i || info->id >
				    ((struct mmapscope_info *)(buf + (i - 1) * entry))->id);
			found += info->id == self->dev.id && !strcmp(info->name, self->dev.name);
		}
		EXPECT_EQ(1, found);
		EXPECT_EQ((char)0xee, buf[n * entry]);
		if (entry == 4096)
			break;
	}
	/* Room for fewer: the first ones, and how many there are. */
	memset(buf, 0xee, known * 2);
	list = (struct mmapscope_list) {
		.size = sizeof(list), .count = 1, .entry_size = known, .entries = (uintptr_t)buf,
	};
	ASSERT_EQ(0, call(self->dev.ctl, MMAPSCOPE_IOC_LIST, &list));
	EXPECT_EQ(n, list.count);
	EXPECT_EQ((char)0xee, buf[known]);
	list.entry_size = known - 1;
	EXPECT_EQ(-EINVAL, call(self->dev.ctl, MMAPSCOPE_IOC_LIST, &list));
	list.entry_size = 4097;
	EXPECT_EQ(-EINVAL, call(self->dev.ctl, MMAPSCOPE_IOC_LIST, &list));
	list.entry_size = 0;
	EXPECT_EQ(-EINVAL, call(self->dev.ctl, MMAPSCOPE_IOC_LIST, &list));
	list = (struct mmapscope_list) {
		.size = sizeof(list), .count = 1, .entry_size = known, .entries = 8,
	};
	EXPECT_EQ(-EFAULT, call(self->dev.ctl, MMAPSCOPE_IOC_LIST, &list));
	free(buf);
}

/* Whatever it is given: an errno or success, never damage. */
TEST_F(abi, random_arguments)
{
	static const int allowed[] = { 0, -EINVAL, -E2BIG, -EFAULT };
	unsigned int seed = 20240601, i, j;
	const struct command *c;
	union any arg;
	int ret;

	for (i = 0; i < 20000; i++) {
		c = &commands[3 + rand_r(&seed) % (ARRAY_SIZE(commands) - 3)];
		valid(&self->dev, c, &arg);
		for (j = rand_r(&seed) % 8; j; j--)
			arg.bytes[rand_r(&seed) % c->size] = rand_r(&seed);
		if (c->cmd == MMAPSCOPE_IOC_STATS)
			arg.stats.values = rand_r(&seed) & 1 ? 0 : ~0UL << rand_r(&seed) % 12;
		ret = call(self->dev.fd, c->cmd, &arg);
		for (j = 0; j < ARRAY_SIZE(allowed) && ret != allowed[j]; j++)
			;
		EXPECT_NE(ARRAY_SIZE(allowed), j) {
			TH_LOG("%s: %d", c->name, ret);
		}
	}
	self->dev.was_reset = true;
}

SCOPE_MAIN
