// SPDX-License-Identifier: GPL-2.0
/*
 * Loading and unloading.  Run without the module loaded: every test loads it for itself, from the
 * file that MODULE names.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "inject.h"

#define TRACING		"/sys/kernel/tracing/instances/mmapscope-load"

static int load(const char *parameters)
{
	int fd = open(getenv("MODULE"), O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		fatal("%s: %m", getenv("MODULE"));
	ret = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return ret;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "mmapscope", O_NONBLOCK) ? -errno : 0;
}

static bool loaded(void)
{
	return !access(MODULE_DIR, F_OK);
}

/* What the log says about the module from here on. */
static int log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || lseek(fd, 0, SEEK_END) < 0)
		fatal("/dev/kmsg: %m");
	return fd;
}

static int log_lines(int fd)
{
	char line[2048];
	int lines = 0;
	ssize_t n;

	while ((n = read(fd, line, sizeof(line) - 1)) > 0) {
		line[n] = 0;
		lines += !!strstr(line, ";mmapscope: ");
	}
	close(fd);
	return lines;
}

static int count_entries(const char *dir, const char *prefix)
{
	struct dirent *entry;
	DIR *d = opendir(dir);
	int n = 0;

	while (d && (entry = readdir(d)))
		n += !strncmp(entry->d_name, prefix, strlen(prefix));
	if (d)
		closedir(d);
	return n;
}

/* Everything that a loaded module puts somewhere: 0 when nothing is left. */
static int traces_left(void)
{
	char text[16384] = "";
	int left;

	left = count_entries("/dev", "mmapscope") + count_entries("/sys/class", "mmapscope") +
	       count_entries("/sys/class/bdi", "mmapscope") +
	       count_entries("/sys/kernel/debug", "mmapscope") +
	       count_entries("/sys/module", "mmapscope");
	file_read("/proc/devices", text, sizeof(text));
	left += !!strstr(text, "mmapscope");
	file_read("/proc/filesystems", text, sizeof(text));
	left += !!strstr(text, "mmapscope");
	return left;
}

FIXTURE(module) {
	int unused;
};

FIXTURE_SETUP(module)
{
	if (geteuid())
		SKIP_SETUP("needs root, to load the module");
	if (!getenv("MODULE") || access(getenv("MODULE"), R_OK))
		SKIP_SETUP("needs MODULE to name the module's file");
	if (loaded())
		SKIP_SETUP("the module is loaded: these tests load it themselves");
}

FIXTURE_TEARDOWN(module)
{
	if (loaded())
		EXPECT_EQ(0, unload());
}

TEST_F(module, defaults)
{
	int fd;

	ASSERT_EQ(0, load(""));
	EXPECT_EQ(1, file_number(MODULE_DIR "/parameters/devices"));
	EXPECT_EQ(1024, file_number(MODULE_DIR "/parameters/size_mb"));
	EXPECT_EQ(0, access(CONTROL_NODE, F_OK));
	fd = open("/dev/mmapscope0", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1L << 30, lseek(fd, 0, SEEK_END));
	close(fd);
	EXPECT_NE(0, access("/dev/mmapscope1", F_OK));
	/* The test hook is not there unless it was asked for. */
	EXPECT_NE(0, access(DEBUGFS_DIR "/mmapscope0/test_fail", F_OK));
	EXPECT_EQ(0, unload());
	EXPECT_EQ(0, traces_left());
}

TEST_F(module, no_device_and_many)
{
	ASSERT_EQ(0, load("devices=0"));
	EXPECT_EQ(0, access(CONTROL_NODE, F_OK));
	EXPECT_NE(0, access("/dev/mmapscope0", F_OK));
	ASSERT_EQ(0, unload());
	ASSERT_EQ(0, load("devices=256 size_mb=3"));
	EXPECT_EQ(256, count_entries(CLASS_DIR, "mmapscope"));
	EXPECT_EQ(0, access("/dev/mmapscope255", F_OK));
	EXPECT_EQ(3L << 20, file_number(CLASS_DIR "/mmapscope255/size"));
	EXPECT_EQ(0, unload());
	EXPECT_EQ(0, traces_left());
}

TEST_F(module, bad_parameters)
{
	static const char *const bad[] = {
		"devices=257", "devices=4294967295", "size_mb=0", "size_mb=8796093022208",
		"size_mb=18446744073709551615", "store_limit_mb=18446744073709551615",
		"store_limit_mb=1000000000",
	};
	unsigned int i;
	int log;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		log = log_open();
		EXPECT_EQ(-EINVAL, load(bad[i])) {
			TH_LOG("%s", bad[i]);
		}
		EXPECT_EQ(1, log_lines(log)) {
			TH_LOG("log lines for %s", bad[i]);
		}
		EXPECT_EQ(0, traces_left());
	}
	/* Not a number: the kernel's own message. */
	EXPECT_EQ(-EINVAL, load("devices=-1"));
	EXPECT_EQ(-EINVAL, load("devices=many"));
	EXPECT_EQ(-EINVAL, load("size_mb=1M"));
	EXPECT_EQ(0, traces_left());
}

TEST_F(module, largest_parameters)
{
	ASSERT_EQ(0, load("size_mb=8796093022207"));
	EXPECT_EQ(8796093022207L << 20, file_number(CLASS_DIR "/mmapscope0/size"));
	EXPECT_EQ(0, unload());
}

TEST_F(module, unload_in_use_is_refused)
{
	long page = sysconf(_SC_PAGESIZE);
	char *p;
	int fd;

	ASSERT_EQ(0, load("size_mb=1"));
	fd = open("/dev/mmapscope0", O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EAGAIN, unload());
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	close(fd);
	EXPECT_EQ(-EAGAIN, unload());
	*p = 1;
	EXPECT_EQ(1, *p);
	munmap(p, page);
	fd = open(CONTROL_NODE, O_RDWR);
	EXPECT_EQ(-EAGAIN, unload());
	close(fd);
	EXPECT_EQ(0, unload());
	EXPECT_EQ(0, traces_left());
}

static long file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) ? -1 : st.st_size;
}

/* Runs a line of shell; its exit code, and what it printed as errors. */
static int shell(const char *line, char *err, size_t size)
{
	char path[] = "/tmp/module.XXXXXX", whole[256];
	int fd = mkstemp(path), status;

	if (fd < 0)
		fatal("%s: %m", path);
	snprintf(whole, sizeof(whole), "{ %s ; } >/dev/null 2>%s", line, path);
	status = system(whole);
	file_read(path, err, size);
	close(fd);
	unlink(path);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The command that is refused says why, and to look for it keeps nothing loaded. */
TEST_F(module, command_says_what_keeps_it)
{
	char err[4096], holder[64];
	int fd;

	if (shell("mmapscope --version", err, sizeof(err)))
		SKIP(return, "there is no command mmapscope in PATH");
	ASSERT_EQ(0, load("size_mb=1 devices=2"));
	fd = open("/dev/mmapscope1", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, shell("mmapscope unload", err, sizeof(err)));
	snprintf(holder, sizeof(holder), "process %d (module): open\n", getpid());
	EXPECT_NE(NULL, strstr(err, holder)) {
		TH_LOG("%s", err);
	}
	close(fd);
	EXPECT_EQ(0, shell("mmapscope unload", err, sizeof(err)));
	EXPECT_STREQ("", err);
	ASSERT_FALSE(loaded());

	ASSERT_EQ(0, load("size_mb=1"));
	EXPECT_EQ(0, shell("mmapscope create -s 1M -S file:/tmp/kept", err, sizeof(err)));
	EXPECT_EQ(1, shell("mmapscope unload", err, sizeof(err)));
	EXPECT_NE(NULL, strstr(err, "mmapscope1 keeps it, with its file")) {
		TH_LOG("%s", err);
	}
	EXPECT_EQ(1, shell("mmapscope create -s 2M -S file:/tmp/kept", err, sizeof(err)));
	EXPECT_EQ(1 << 20, file_size("/tmp/kept"));
	EXPECT_EQ(1, shell("mmapscope create -s 1M -S file:/tmp/none/kept", err, sizeof(err)));
	EXPECT_NE(NULL, strstr(err, "the folder does not exist"));
	EXPECT_EQ(0, shell("mmapscope remove 1", err, sizeof(err)));
	EXPECT_EQ(1, shell("mmapscope create -s 1M --id 0 -S file:/tmp/kept2", err, sizeof(err)));
	EXPECT_NE(0, access("/tmp/kept2", F_OK));
	EXPECT_EQ(0, shell("mmapscope unload", err, sizeof(err)));
	unlink("/tmp/kept");
}

TEST_F(module, unload_after_forced_removal)
{
	long page = sysconf(_SC_PAGESIZE);
	int fd, ctl;
	char *p;

	ASSERT_EQ(0, load("size_mb=1"));
	fd = open("/dev/mmapscope0", O_RDWR);
	ctl = open(CONTROL_NODE, O_RDWR);
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	*p = 1;
	EXPECT_EQ(0, dev_remove(ctl, 0, MMAPSCOPE_REMOVE_FORCE, NULL));
	close(ctl);
	close(fd);
	EXPECT_EQ(-EAGAIN, unload());
	munmap(p, page);
	EXPECT_EQ(0, unload());
}

/* Dirty, clean and read pages, just before. */
static void use_and_close(void)
{
	char buf[4096] = "used", path[64];
	long page = sysconf(_SC_PAGESIZE);
	char *p;
	int fd, i;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/dev/mmapscope%d", i);
		fd = open(path, O_RDWR);
		if (fd < 0 || write(fd, buf, sizeof(buf)) != sizeof(buf) || fsync(fd))
			fatal("%s: %m", path);
		p = mmap(NULL, 64 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p == MAP_FAILED)
			fatal("mmap: %m");
		touch_pages(p, 64);
		store_pages(p, 8, 1);
		munmap(p, 64 * page);
		close(fd);
	}
}

TEST_F(module, unload_with_dirty_pages)
{
	int log;

	ASSERT_EQ(0, load("devices=2 size_mb=1"));
	use_and_close();
	log = log_open();
	EXPECT_EQ(0, unload());
	/* The store takes them: nothing is discarded, so there is nothing to say. */
	EXPECT_EQ(0, log_lines(log));
	EXPECT_EQ(0, traces_left());
}

/* Kernel memory that the slab allocator and others account for, in kB. */
static long kernel_memory_kb(void)
{
	return file_field("/proc/meminfo", "SUnreclaim") + file_field("/proc/meminfo", "Percpu") +
	       file_field("/proc/meminfo", "VmallocUsed");
}

/* Free pages of all zones, those that each CPU keeps for itself included. */
static long free_pages(void)
{
	FILE *f = fopen("/proc/zoneinfo", "re");
	char line[256];
	long sum = 0, n;

	if (!f)
		fatal("/proc/zoneinfo: %m");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " nr_free_pages %ld", &n) == 1 ||
		    sscanf(line, " count: %ld", &n) == 1)
			sum += n;
	fclose(f);
	return sum;
}

/* What is cached and can be dropped is no leak; RCU frees with some delay. */
static long lost_pages(long before)
{
	/* 4: without a line in the kernel's log for each time. */
	file_write("/proc/sys/vm/drop_caches", "7");
	file_write("/proc/sys/vm/stat_refresh", "1");
	return before - free_pages();
}

static void reload(struct __test_metadata *_metadata, int times)
{
	while (times--) {
		/* Several, so that a little lost with each device adds up to pages. */
		ASSERT_EQ(0, load("devices=8 size_mb=64"));
		use_and_close();
		ASSERT_EQ(0, unload());
	}
}

#define RELOADS		100
/* One page for each time would be 100; what else goes on in an idle machine is some dozens. */
#define SLACK		60

TEST_F_TIMEOUT(module, reload_100_times, 300)
{
	long kernel, pages;

	/* What is cached for good, by the first few, is no leak. */
	reload(_metadata, 10);
	sleep_ms(500);
	lost_pages(0);
	pages = free_pages();
	kernel = kernel_memory_kb();
	reload(_metadata, RELOADS);
	EXPECT_TRUE(wait_for(lost_pages(pages) < SLACK &&
			     kernel_memory_kb() - kernel < SLACK * sysconf(_SC_PAGESIZE) / 1024,
			     10000)) {
		TH_LOG("kernel memory grew by %ld kB, free memory shrank by %ld pages",
		       kernel_memory_kb() - kernel, lost_pages(pages));
	}
	EXPECT_EQ(0, traces_left());
}

/*
 * Everything before the module's own code is the kernel's business.  Where that begins the kernel
 * says module_load.
 */
static void trace_loading(void)
{
	if ((mkdir(TRACING, 0700) && errno != EEXIST) ||
	    file_write(TRACING "/events/module/module_load/enable", "1"))
		fatal(TRACING ": %m");
}

/* Whether it was said since the last time. */
static bool init_was_reached(void)
{
	static char text[16384];
	int fd;

	if (file_read(TRACING "/trace", text, sizeof(text)) < 0)
		fatal(TRACING "/trace");
	fd = open(TRACING "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return strstr(text, "module_load: mmapscope ");
}

struct attempt {
	int ret;
	bool taken;		/* something was made to fail */
	bool reached;		/* the module's own code was */
};

/* Loads with the nth chance to fail being taken. */
static struct attempt load_failing(unsigned int nth)
{
	int fd = open(getenv("MODULE"), O_RDONLY | O_CLOEXEC);
	struct attempt a;

	if (fd < 0)
		fatal("%s: %m", getenv("MODULE"));
	init_was_reached();
	inject_arm(nth);
	a.ret = syscall(SYS_finit_module, fd, "size_mb=1 test_hooks=1", 0) ? -errno : 0;
	a.taken = inject_disarm();
	close(fd);
	a.reached = init_was_reached();
	if (!a.ret && unload())
		fatal("unload: %m");
	return a;
}

/* So many chances to fail has no loading. */
#define NEVER	1000000

/*
 * How many chances to fail there are before the module's own code: as many as
 * where that refuses its parameters first of all.  None of them is taken, because
 * the kernel's own complaints about some (vmalloc) look like a bug.
 */
static unsigned int last_before_init(void)
{
	int fd = open(getenv("MODULE"), O_RDONLY | O_CLOEXEC);
	unsigned int before;

	if (fd < 0)
		fatal("%s: %m", getenv("MODULE"));
	inject_arm(NEVER);
	if (!syscall(SYS_finit_module, fd, "size_mb=0", 0) || errno != EINVAL)
		fatal("the module takes size_mb=0");
	before = NEVER - inject_left();
	close(fd);
	/* What undoes the loading has counted, too. */
	while (before > 1 && load_failing(before).reached)
		before--;
	return before > 8 ? before - 8 : 1;
}

/* What init needs at least: class, numbers, a device with all its parts, the control node. */
#define INIT_POINTS	40

TEST_F_TIMEOUT(module, load_fails_at_every_allocation, 150)
{
	const char *why = inject_unavailable();
	unsigned int nth, first, points = 0, failed = 0, misses = 0;

	if (why)
		SKIP(return, "%s", why);
	trace_loading();
	first = last_before_init();
	for (nth = first; misses < 3; nth += !misses) {
		struct attempt a = load_failing(nth);

		/* The kernel copies the parameters, which can be made to fail as well. */
		ASSERT_TRUE(!a.ret || (a.taken && a.ret == -ENOMEM) ||
			    (a.taken && !a.reached && a.ret == -EFAULT)) {
			TH_LOG("failure %u: %d", nth, a.ret);
		}
		ASSERT_FALSE(loaded());
		ASSERT_EQ(0, traces_left()) {
			TH_LOG("failure %u returned %d", nth, a.ret);
		}
		points += a.taken && a.reached;
		failed += a.reached && a.ret;
		misses = a.taken ? 0 : misses + 1;
		if (!(nth % 50))
			TH_LOG("%u failures from number %u on", points, first);
	}
	rmdir(TRACING);
	TH_LOG("%u failures in the module's own code, %u of them seen", points, failed);
	EXPECT_LE(INIT_POINTS, points);
	EXPECT_LE(INIT_POINTS / 2, failed);
	EXPECT_EQ(0, load(""));
}

struct racer {
	volatile bool stop;
	long opened;
};

static void *race_open(void *arg)
{
	struct racer *r = arg;
	char byte;
	int fd;

	while (!r->stop) {
		fd = open(r->opened & 1 ? CONTROL_NODE : "/dev/mmapscope0", O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, &byte, 1) >= 0 || errno == EINVAL)
			__atomic_add_fetch(&r->opened, 1, __ATOMIC_RELAXED);
		close(fd);
	}
	return NULL;
}

TEST_F_TIMEOUT(module, open_races_with_unload, 120)
{
	struct racer r = { 0 };
	pthread_t thread[2];
	int i, ret, unloaded = 0;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, race_open, &r));
	/* Whoever has it open just then is in the way: some unload of many is not refused. */
	for (i = 0; i < 40 || (!unloaded && i < 1000); i++) {
		ret = load("size_mb=1");
		EXPECT_TRUE(!ret || ret == -EEXIST);
		sleep_ms(2);
		ret = unload();
		EXPECT_TRUE(!ret || ret == -EAGAIN);
		unloaded += !ret;
	}
	r.stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	if (loaded())
		EXPECT_EQ(0, unload());
	EXPECT_LT(0, unloaded);
	EXPECT_LT(0, r.opened);
	EXPECT_EQ(0, traces_left());
}

/* By force it goes although a device over a file holds it; what is in the file stays. */
TEST_F(module, forced_unload_with_a_file)
{
	char path[] = "/tmp/forced.XXXXXX";
	long page = sysconf(_SC_PAGESIZE);
	int file = mkstemp(path), ctl, ret;
	unsigned int id;

	ASSERT_LE(0, file);
	ASSERT_EQ(0, ftruncate(file, 4 * page));
	ASSERT_EQ(0, load("devices=0"));
	ctl = open(CONTROL_NODE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, ctl);
	ASSERT_EQ(0, dev_try_on(ctl, file, 4 * page, &id));
	close(ctl);
	EXPECT_EQ(-EAGAIN, unload());
	ret = syscall(SYS_delete_module, "mmapscope", O_NONBLOCK | O_TRUNC) ? -errno : 0;
	if (ret) {
		/* Without CONFIG_MODULE_FORCE_UNLOAD that is refused as well. */
		EXPECT_EQ(-EAGAIN, ret);
		ctl = open(CONTROL_NODE, O_RDWR | O_CLOEXEC);
		EXPECT_EQ(0, dev_remove(ctl, id, 0, NULL));
		close(ctl);
		EXPECT_EQ(0, unload());
	}
	EXPECT_FALSE(loaded());
	EXPECT_EQ(4 * page, lseek(file, 0, SEEK_END));
	close(file);
	unlink(path);
}

static void *race_sync(void *arg)
{
	struct racer *r = arg;

	while (!r->stop) {
		sync();
		file_write("/proc/sys/vm/drop_caches", "6");
	}
	return NULL;
}

/* sync(2) goes on from a superblock of ours to the next one, and looks back. */
TEST_F_TIMEOUT(module, sync_races_with_unload, 120)
{
	struct racer r = { 0 };
	pthread_t thread[2];
	int i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, race_sync, &r));
	for (i = 0; i < 40; i++) {
		ASSERT_EQ(0, load("devices=4 size_mb=1"));
		ASSERT_EQ(0, unload());
	}
	r.stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(0, traces_left());
}

SCOPE_MAIN
