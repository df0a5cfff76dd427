// SPDX-License-Identifier: GPL-2.0
/* policy */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

/* Gets or sets one; afterwards the value is the one in force. */
static int transfer(int fd, __u32 flags, struct setting *setting)
{
	struct mmapscope_policy policy = {
		.size = sizeof(policy),
		.flags = flags,
		.id = setting->id,
		.value = setting->value,
	};
	int error = retry_ioctl(fd, MMAPSCOPE_IOC_POLICY, &policy);

	if (!error)
		setting->value = policy.value;
	return error;
}

static void print_policies(unsigned int id, const struct setting *setting, size_t nr)
{
	if (json_wanted)
		json_settings(stdout, device_name(id), setting, nr);
	else
		print_settings(stdout, setting, nr);
}

static int fail_get(unsigned int id, int error)
{
	static const struct advice advice[] = {
		{ EINVAL, "the module is older than this command and does not have the policy" },
		{ 0 }
	};

	return fail_device(id, -error, advice);
}

/* An older module has fewer, so those that it does not have are the last. */
static int read_policies(int fd, struct setting *setting, size_t *nr)
{
	int error = 0;

	for (*nr = 0; *nr < MMAPSCOPE_NR_POLICIES; ++*nr) {
		setting[*nr] = (struct setting){ .id = *nr };
		error = transfer(fd, 0, &setting[*nr]);
		if (error)
			break;
	}
	return error == -EINVAL ? 0 : error;
}

/* The one that @setting names; or all, if @nr is 0. */
static int get_policies(unsigned int id, struct setting *setting, size_t nr)
{
	int fd = open_device(id, O_RDONLY);
	int error;

	if (fd < 0)
		return fail_device(id, -fd, NULL);
	error = nr ? transfer(fd, 0, setting) : read_policies(fd, setting, &nr);
	close(fd);
	if (error)
		return fail_get(id, error);
	print_policies(id, setting, nr);
	return EXIT_DONE;
}

static int run_get(const struct command *self, unsigned int id, int argc, char **argv)
{
	struct setting setting[MMAPSCOPE_NR_POLICIES] = { 0 };
	const char *why;

	if (optind == argc)
		return get_policies(id, setting, 0);
	why = parse_policy(argv[optind], &setting[0].id);
	if (why)
		return usage(self, "%s: %s", argv[optind], why);
	return get_policies(id, setting, 1);
}

static int fail_set(unsigned int id, int error, unsigned int policy)
{
	static const struct advice advice[] = {
		{ EBUSY, "a page is pinned, by direct I/O for example, so the policy stays" },
		{ EIO, "the store did not take a dirty page, so the policy stays" },
		{ ENOSPC, "the store had no room for a dirty page, so the policy stays" },
		{ 0 }
	};

	if (error == -EINVAL)
		return fail(device_node(id), "%s must be %s", policy_name(policy),
			    policy_range(policy));
	return fail_device(id, -error, advice);
}

/* Says so if the kernel does not do what was asked, but what is next to it. */
static void print_rounded(const struct setting *setting, __u64 wanted)
{
	if (!json_wanted && setting->value != wanted)
		printf("%s %llu (%llu was asked for)\n", policy_name(setting->id), setting->value,
		       wanted);
}

static int set_policies(unsigned int id, struct setting *setting, size_t nr)
{
	int fd = open_device(id, O_RDONLY);
	int error = 0;

	if (fd < 0)
		return fail_device(id, -fd, NULL);
	for (size_t i = 0; i < nr && !error; i++) {
		__u64 wanted = setting[i].value;

		error = transfer(fd, MMAPSCOPE_POLICY_SET, &setting[i]);
		if (error)
			fail_set(id, error, setting[i].id);
		else
			print_rounded(&setting[i], wanted);
	}
	close(fd);
	if (!error && json_wanted)
		print_policies(id, setting, nr);
	return error ? EXIT_FAILED : EXIT_DONE;
}

/* Nothing is changed before every word is understood. */
static int run_set(const struct command *self, unsigned int id, int argc, char **argv)
{
	struct setting setting[MMAPSCOPE_NR_POLICIES];
	size_t nr = 0;

	for (int i = optind; i < argc; i++) {
		const char *why = parse_setting(argv[i], &setting[nr++]);

		if (why)
			return usage(self, "%s: %s", argv[i], why);
	}
	return set_policies(id, setting, nr);
}

/**
 * struct verb - what `policy` is to do
 * @name: the word
 * @least: arguments after the word, at least; the first is the device
 * @most: at most
 * @run: does it, with the arguments after the device from optind on
 */
struct verb {
	const char *name;
	int least;
	int most;
	int (*run)(const struct command *self, unsigned int id, int argc, char **argv);
};

static const struct verb verbs[] = {
	{ "get", 1, 2, run_get },
	{ "set", 2, 1 + MMAPSCOPE_NR_POLICIES, run_set },
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	}
	return NULL;
}

static int run_policy(const struct command *self, int argc, char **argv)
{
	int choice = next_choice(self, argc, argv);
	const struct verb *verb;
	unsigned int id;

	if (choice != CHOICE_END)
		return leave_code(choice);
	verb = optind < argc ? find_verb(argv[optind++]) : NULL;
	if (!verb)
		return usage(self, "get or set is expected");
	if (!want_arguments(self, argc, verb->least, verb->most) || !take_device(self, argv, &id))
		return EXIT_USAGE;
	return verb->run(self, id, argc, argv);
}

const struct command cmd_policy = {
	.name = "policy",
	.arguments = "get DEV [NAME] | set DEV NAME=VALUE...",
	.summary = "Print or change what can be chosen for a device",
	.details =
		"\nThe policies:\n"
		"  large_folio_kb=N    largest folio of the cache: 0 for single pages, or a power of two\n"
		"                      from the page size to what a PMD maps (2048 with pages of\n"
		"                      4 KiB); a plain number is KiB, and a suffix may be used (2M)\n"
		"\nset prints the value in force if it is another than the one that was asked for. To change\n"
		"large_folio_kb drops the large folios that are cached.",
	.json = true,
	.run = run_policy,
};
