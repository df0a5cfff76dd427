/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mmapscope command: what its files share.
 *
 *   main.c      command table, global options, help
 *   options.c   one table per command gives its parser and its help
 *   parse.c     sizes, times, ranges, names of devices
 *   error.c     messages: what, why, and what to do about it
 *   column.c    one column table gives text and JSON
 *   json.c      a writer for JSON
 *   device.c    nodes and ioctls
 *   devices.c   the devices that there are
 *   backing.c   the file or block device behind a device
 *   counters.c  a device's counters
 *   policies.c  names and values of policies
 *   holders.c   who has a device open
 *   kmod.c      the module: find, insert, remove
 *   cmd_*.c     the commands
 *   watch.c     `stat` at intervals
 */
#ifndef MMAPSCOPE_TOOL_H
#define MMAPSCOPE_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <linux/mmapscope.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define __printf(format_at, first) __attribute((format(printf, format_at, first)))

#define MMAPSCOPE_CONTROL	"/dev/mmapscope-control"
#define MMAPSCOPE_NODE_PREFIX	"/dev/mmapscope"
#define MMAPSCOPE_SYS_MODULE	"/sys/module/mmapscope"

/* Exit codes of every command. */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

/**
 * struct choice - an option of a command
 * @letter: the letter, or a number above 255 if the option only has a name
 * @name: the long name
 * @argument: what stands for its argument in the help; NULL if it takes none
 * @help: one line
 */
struct choice {
	int letter;
	const char *name;
	const char *argument;
	const char *help;
};

/**
 * struct command - a command of the program
 * @name: the word that selects it
 * @arguments: what follows the name and the options in the usage line
 * @summary: one line for the list of commands
 * @details: paragraphs for the command's own help; may be NULL
 * @choices: its options, ended by one without a name; may be NULL
 * @json: it prints data, so it takes --json
 * @run: does the work; argv[0] is the name; returns an exit code
 */
struct command {
	const char *name;
	const char *arguments;
	const char *summary;
	const char *details;
	const struct choice *choices;
	bool json;
	int (*run)(const struct command *self, int argc, char **argv);
};

extern const struct command cmd_load, cmd_unload, cmd_create, cmd_remove, cmd_resize, cmd_list,
	cmd_stat, cmd_reset, cmd_sync, cmd_evict, cmd_punch, cmd_policy, cmd_file, cmd_help;

/* Set by -J before or after the name of the command. */
extern bool json_wanted;

/* main.c */
const struct command *find_command(const char *name);

/* options.c */
enum {
	CHOICE_END = -1,	/* no option is left; optind is the first argument */
	CHOICE_HELP = -2,	/* help was asked for and printed */
	CHOICE_BAD = -3,	/* a message was printed */
};

int next_choice(const struct command *command, int argc, char **argv);
int leave_code(int choice);
void print_command_help(FILE *file, const struct command *command);
bool want_arguments(const struct command *command, int argc, int least, int most);
bool take_device(const struct command *command, char **argv, unsigned int *id);
bool want_device(const struct command *command, int argc, char **argv, unsigned int *id);

/* parse.c */
struct range {
	__u64 offset;
	__u64 length;
};

const char *parse_size(const char *text, __u64 *size);
const char *parse_number(const char *text, __u64 most, __u64 *number);
const char *parse_time(const char *text, __u64 *nanoseconds);
const char *parse_device(const char *text, unsigned int *id);
const char *parse_range(const char *text, struct range *range);
const char *parse_store(const char *text, __u32 *store, const char **path);
const char *store_name(__u32 store);
const char *io_name(__u32 mode);
const char *check_pages(__u64 bytes, __u64 page_size);
const char *check_device_size(__u64 size, __u64 page_size);
const char *check_range(const struct range *range, __u64 page_size);

/* error.c */

/**
 * struct advice - what an errno means in one place, and what to do about it
 * @error: the errno; 0 ends a table
 * @text: stands after the name of what failed
 */
struct advice {
	int error;
	const char *text;
};

const char *find_advice(const struct advice *advice, int error);
__printf(2, 3) int fail(const char *what, const char *format, ...);
int fail_errno(const char *what, int error, const struct advice *advice);
__printf(2, 3) int usage(const struct command *command, const char *format, ...);
bool module_is_loaded(void);
int flush_output(int code);

/* json.c */

/**
 * struct json - a JSON text that is being written
 * @file: where it goes
 * @comma: the next member of the open object or array needs a comma
 */
struct json {
	FILE *file;
	bool comma;
};

/* In all of these, key is NULL for a member of an array and for the outermost value. */
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);
void json_number(struct json *json, const char *key, __u64 number);
void json_seconds(struct json *json, const char *key, __u64 nanoseconds);
void json_bool(struct json *json, const char *key, bool value);
void json_string(struct json *json, const char *key, const char *text);
void json_end(struct json *json);

/* column.c */
enum column_kind {
	COLUMN_TEXT,
	COLUMN_NUMBER,
	COLUMN_SIZE,	/* bytes; with a suffix in text */
	COLUMN_FLAG,	/* yes or no */
};

/* What a column says of one row. */
struct cell {
	__u64 number;
	char text[MMAPSCOPE_PATH_LEN + 8];
};

/**
 * struct column - something that is printed of every row
 * @name: the key in JSON and the name in a record
 * @heading: above the column in a table of text; NULL leaves it out of text
 * @kind: how the value is written; for COLUMN_TEXT it is cell.text, else cell.number
 * @index: for @get, when several columns share one
 * @get: fills in the cell for a row
 */
struct column {
	const char *name;
	const char *heading;
	enum column_kind kind;
	unsigned int index;
	void (*get)(const struct column *column, const void *row, struct cell *cell);
};

/**
 * struct columns - what is printed of rows of one type
 * @column: the columns
 * @nr: how many
 * @row_size: bytes from one row to the next
 */
struct columns {
	const struct column *column;
	size_t nr;
	size_t row_size;
};

void print_table(FILE *file, const struct columns *columns, const void *rows, size_t nr_rows);
void print_record(FILE *file, const struct columns *columns, const void *row, const char *indent);
void json_members(struct json *json, const struct columns *columns, const void *row);
void print_result(const struct columns *columns, const void *row);
void format_size(__u64 bytes, char *text, size_t room);

/* device.c */
int open_control(int flags);
int open_device(unsigned int id, int flags);
int fail_device(unsigned int id, int error, const struct advice *advice);
int retry_ioctl(int fd, unsigned long request, void *argument);
const char *device_name(unsigned int id);
const char *device_node(unsigned int id);
int wait_for_node(const char *node);

/* devices.c */

/**
 * struct device_list - the devices that there are
 * @info: an array, to be freed
 * @nr: how many
 */
struct device_list {
	struct mmapscope_info *info;
	size_t nr;
};

bool read_list(struct device_list *list);
void print_list_json(const struct mmapscope_info *info, size_t nr);
void print_list_text(const struct mmapscope_info *info, size_t nr);

/* backing.c */

/**
 * struct backing - what stands behind a device that is being created
 * @path: where it is
 * @fd: open as the device needs it
 * @size: what it had
 * @made: it did not exist
 * @grown: it was made larger
 */
struct backing {
	const char *path;
	int fd;
	__u64 size;
	bool made;
	bool grown;
};

bool open_backing(struct backing *backing, const char *path, bool read_only, __u64 size);
void undo_backing(struct backing *backing);

/* counters.c */

/**
 * struct sample - the counters of a device at one moment
 * @id: number of the device
 * @page_size: bytes in a page
 * @nr: how many counters the kernel knows, at most MMAPSCOPE_NR_STATS
 * @value: their values
 * @name: the device's name
 */
struct sample {
	unsigned int id;
	unsigned int page_size;
	unsigned int nr;
	__u64 value[MMAPSCOPE_NR_STATS];
	char name[MMAPSCOPE_NAME_LEN];
};

/**
 * struct sample_set - samples of several devices
 * @sample: an array, to be freed
 * @nr: how many
 */
struct sample_set {
	struct sample *sample;
	size_t nr;
};

bool read_samples(const unsigned int *id, struct sample_set *set);
bool counter_is_gauge(unsigned int index);
const char *counter_name(unsigned int index);
__u64 counter_delta(const struct sample *now, const struct sample *before, unsigned int index);
void print_counters(FILE *file, const struct sample *sample, const char *indent);
void json_sample(struct json *json, const struct sample *sample, const struct sample *before);

/* policies.c */

/**
 * struct setting - a policy and a value
 * @id: enum mmapscope_policy_id
 * @value: wanted, or in force
 */
struct setting {
	unsigned int id;
	__u64 value;
};

const char *parse_policy(const char *name, unsigned int *id);
const char *parse_setting(const char *text, struct setting *setting);
const char *policy_name(unsigned int id);
const char *policy_range(unsigned int id);
void print_settings(FILE *file, const struct setting *setting, size_t nr);
void json_settings(FILE *file, const char *device, const struct setting *setting, size_t nr);

/* watch.c */

/**
 * struct watch - what `stat` was asked to do at intervals
 * @interval: nanoseconds from one to the next
 * @count: how many; 0 is until interrupted
 * @all: print every counter that moved
 * @id: the device; NULL for all
 */
struct watch {
	__u64 interval;
	__u64 count;
	bool all;
	const unsigned int *id;
};

int watch_counters(const struct watch *watch);

/* holders.c */
void print_holders(FILE *file, const char *const *nodes, size_t nr);

/* kmod.c */
int insert_module(int argc, char **argv);
int remove_module(void);

#endif /* MMAPSCOPE_TOOL_H */
