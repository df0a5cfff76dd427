// SPDX-License-Identifier: GPL-2.0
/*
 * The module: find it, insert it, remove it.
 */
#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <libkmod.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <syslog.h>
#include <unistd.h>

#include "tool.h"

#define MODULE_NAME "mmapscope"
#define MODULE_FILE MODULE_NAME ".ko"

static const char not_trusted[] =
	"the kernel does not trust its signature (Secure Boot): sign it with an enrolled key";

static const struct advice insert_advice[] = {
	{ EEXIST, "already loaded: 'mmapscope unload' removes it" },
	{ ENOKEY, not_trusted },
	{ EKEYREJECTED, not_trusted },
	{ EPERM, "a locked-down kernel (Secure Boot) wants it signed; modules_disabled, a reboot" },
	{ EINVAL, "the kernel refuses it: probably a parameter has a bad value; dmesg says which" },
	{ ENOENT, "the kernel lacks something that the module needs; dmesg says what" },
	{ 0 }
};

static struct kmod_ctx *new_context(void)
{
	struct kmod_ctx *context = kmod_new(NULL, NULL);

	/* The library would print its own messages beside ours. */
	if (context)
		kmod_set_log_priority(context, LOG_CRIT);
	else
		fail(MODULE_NAME, "the library for modules cannot be set up");
	return context;
}

static bool beside_program(char *path, size_t room)
{
	char program[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (length < 0)
		return false;
	program[length] = 0;
	length = snprintf(path, room, "%s/../" MODULE_FILE, dirname(program));
	return length > 0 && (size_t)length < room && !access(path, F_OK);
}

static bool is_trusted(const struct stat *status)
{
	const char *sudo = getenv("SUDO_UID");

	return !(status->st_mode & 0022) &&
	       (!status->st_uid || status->st_uid == getuid() ||
		(sudo && status->st_uid == strtoul(sudo, NULL, 10)));
}

/*
 * A module in the current folder is only taken from somebody who could load another one anyway:
 * otherwise to type "sudo mmapscope load" in /tmp would hand the kernel to whoever can write there.
 * Whoever can write to the folder could put another in its place after this look.
 */
static bool in_current_folder(char *path, size_t room)
{
	struct stat file, folder;

	snprintf(path, room, "./" MODULE_FILE);
	if (stat(path, &file))
		return false;
	if (is_trusted(&file) && !stat(".", &folder) && is_trusted(&folder))
		return true;
	fail(path, "ignored: others could have written it; MMAPSCOPE_MODULE=%s overrides", path);
	return false;
}

static bool find_file(char *path, size_t room)
{
	const char *named = secure_getenv("MMAPSCOPE_MODULE");

	if (!named || !*named)
		return in_current_folder(path, room) || beside_program(path, room);
	snprintf(path, room, "%s", named);
	return true;
}

/* The installed module of the running kernel, with what modprobe.d says about it. */
static struct kmod_module *look_up(struct kmod_ctx *context)
{
	struct kmod_module *module = NULL;
	struct kmod_list *list = NULL;

	if (kmod_module_new_from_lookup(context, MODULE_NAME, &list) >= 0 && list)
		module = kmod_module_get_module(list);
	kmod_module_unref_list(list);
	if (!module)
		fail(MODULE_NAME, "no module found: build or install it, or set MMAPSCOPE_MODULE");
	return module;
}

static struct kmod_module *from_file(struct kmod_ctx *context, const char *path)
{
	struct kmod_module *module = NULL;
	int error = kmod_module_new_from_path(context, path, &module);

	if (error < 0)
		fail_errno(path, -error, NULL);
	return module;
}

/* The value of the first entry @key of the module's information, up to the next call. */
static const char *find_info(const struct kmod_list *info, const char *key)
{
	const struct kmod_list *entry;

	kmod_list_foreach(entry, info) {
		if (!strcmp(kmod_module_info_get_key(entry), key))
			return kmod_module_info_get_value(entry);
	}
	return NULL;
}

static int trimmed_length(const char *text)
{
	size_t length = strlen(text);

	while (length && text[length - 1] == ' ')
		length--;
	return length;
}

/* The module was built for another kernel, or for this one with another configuration. */
static int fail_format(struct kmod_module *module, const char *path)
{
	struct kmod_list *info = NULL;
	const char *magic = NULL;
	struct utsname kernel;
	int code;

	uname(&kernel);
	if (kmod_module_get_info(module, &info) >= 0)
		magic = find_info(info, "vermagic");
	if (!magic)
		code = fail(path, "this is not a kernel module, or it is damaged");
	else
		code = fail(path, "built for '%.*s', but '%s %s' is running: build it again",
			    trimmed_length(magic), magic, kernel.release, kernel.version);
	kmod_module_info_free_list(info);
	return code;
}

static int fail_insert(struct kmod_module *module, const char *path, int error)
{
	if (error == ENOEXEC)
		return fail_format(module, path);
	if (geteuid() && (error == EPERM || error == EACCES))
		return fail_errno(path, error, NULL);
	return fail_errno(path, error, insert_advice);
}

/* The kernel only warns in its log about a parameter that the module does not have. */
static bool has_parameter(const struct kmod_list *info, const char *word, size_t length)
{
	const struct kmod_list *entry;
	bool any = false;

	kmod_list_foreach(entry, info) {
		const char *value = kmod_module_info_get_value(entry);

		if (strcmp(kmod_module_info_get_key(entry), "parm"))
			continue;
		any = true;
		if (!strncmp(value, word, length) && value[length] == ':')
			return true;
	}
	return !any;
}

static bool check_parameters(struct kmod_module *module, int argc, char **argv)
{
	struct kmod_list *info = NULL;
	bool good = true;

	if (kmod_module_get_info(module, &info) < 0)
		return true;
	for (int i = 0; good && i < argc; i++) {
		int length = strcspn(argv[i], "=");

		good = has_parameter(info, argv[i], length);
		if (!good)
			fail(argv[i], "there is no such parameter: 'modinfo -p %s' lists them",
			     kmod_module_get_path(module));
	}
	kmod_module_info_free_list(info);
	return good;
}

/* The kernel splits parameters at blanks, except inside of quotes. */
static char *join_parameters(int argc, char **argv)
{
	char *line = NULL;
	size_t length;
	FILE *file = open_memstream(&line, &length);

	if (!file)
		return NULL;
	for (int i = 0; i < argc; i++) {
		const char *value = strchr(argv[i], '=') + 1;
		const char *quote = strpbrk(value, " \t\n") ? "\"" : "";

		fprintf(file, "%s%.*s%s%s%s", i ? " " : "", (int)(value - argv[i]), argv[i],
			quote, value, quote);
	}
	if (!fclose(file))
		return line;
	free(line);
	return NULL;
}

static int insert(struct kmod_module *module, const char *path, const char *parameters)
{
	int error;

	if (path)
		error = kmod_module_insert_module(module, 0, parameters);
	else
		error = kmod_module_probe_insert_module(module, KMOD_PROBE_FAIL_ON_LOADED,
							parameters, NULL, NULL, NULL);
	if (!path)
		path = kmod_module_get_path(module);
	if (error)
		return fail_insert(module, path ? path : MODULE_NAME, abs(error));
	printf("loaded %s\n", path ? path : MODULE_NAME);
	return wait_for_node(MMAPSCOPE_CONTROL);
}

/**
 * insert_module() - insert the module
 * @argc: how many parameters
 * @argv: NAME=VALUE
 *
 * Return: an exit code.
 */
int insert_module(int argc, char **argv)
{
	char path[PATH_MAX];
	bool file = find_file(path, sizeof(path));
	struct kmod_ctx *context = new_context();
	struct kmod_module *module;
	int code = EXIT_FAILED;
	char *parameters;

	if (!context)
		return EXIT_FAILED;
	module = file ? from_file(context, path) : look_up(context);
	parameters = join_parameters(argc, argv);
	if (module && parameters && check_parameters(module, argc, argv))
		code = insert(module, file ? path : NULL, parameters);
	free(parameters);
	kmod_module_unref(module);
	kmod_unref(context);
	return code;
}

/* Nobody need have it open, and nothing else would say so. */
static void print_file_backed(FILE *file)
{
	struct device_list list;

	if (access(MMAPSCOPE_CONTROL, R_OK) || !read_list(&list))
		return;
	for (size_t i = 0; i < list.nr; i++) {
		if (list.info[i].store != MMAPSCOPE_STORE_RAM)
			fprintf(file, "  %s keeps it, with its file: 'mmapscope remove %u'\n",
				device_name(list.info[i].id), list.info[i].id);
	}
	free(list.info);
}

static int fail_in_use(void)
{
	glob_t nodes = { 0 };
	int code = fail(MODULE_NAME, "in use:");

	print_file_backed(stderr);
	if (!glob(MMAPSCOPE_NODE_PREFIX "*", 0, NULL, &nodes))
		print_holders(stderr, (const char *const *)nodes.gl_pathv, nodes.gl_pathc);
	globfree(&nodes);
	return code;
}

static int fail_remove(int error)
{
	static const struct advice advice[] = {
		{ ENOENT, "not loaded" },
		{ 0 }
	};

	if (error == EAGAIN || error == EBUSY)
		return fail_in_use();
	return fail_errno(MODULE_NAME, error, advice);
}

/**
 * remove_module() - remove the module
 *
 * Return: an exit code.
 */
int remove_module(void)
{
	struct kmod_module *module = NULL;
	struct kmod_ctx *context;
	int error;

	if (!module_is_loaded())
		return fail_remove(ENOENT);
	context = new_context();
	if (!context)
		return EXIT_FAILED;
	error = kmod_module_new_from_name(context, MODULE_NAME, &module);
	if (!error)
		error = kmod_module_remove_module(module, 0);
	kmod_module_unref(module);
	kmod_unref(context);
	return error ? fail_remove(abs(error)) : EXIT_DONE;
}
