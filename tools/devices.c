// SPDX-License-Identifier: GPL-2.0
/*
 * The devices that there are.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

static void get_name(const struct column *column, const void *row, struct cell *cell)
{
	const struct mmapscope_info *info = row;

	(void)column;
	snprintf(cell->text, sizeof(cell->text), "%.*s", MMAPSCOPE_NAME_LEN, info->name);
}

static void get_node(const struct column *column, const void *row, struct cell *cell)
{
	const struct mmapscope_info *info = row;

	(void)column;
	snprintf(cell->text, sizeof(cell->text), "/dev/%.*s", MMAPSCOPE_NAME_LEN, info->name);
}

static void get_size(const struct column *column, const void *row, struct cell *cell)
{
	(void)column;
	cell->number = ((const struct mmapscope_info *)row)->dev_size;
}

static void get_store(const struct column *column, const void *row, struct cell *cell)
{
	const struct mmapscope_info *info = row;

	(void)column;
	snprintf(cell->text, sizeof(cell->text), "%s", store_name(info->store));
}

static void get_path(const struct column *column, const void *row, struct cell *cell)
{
	const struct mmapscope_info *info = row;

	(void)column;
	snprintf(cell->text, sizeof(cell->text), "%.*s", MMAPSCOPE_PATH_LEN, info->store_path);
}

/* As create takes it. */
static void get_store_and_path(const struct column *column, const void *row, struct cell *cell)
{
	const struct mmapscope_info *info = row;

	(void)column;
	snprintf(cell->text, sizeof(cell->text), "%s%s%.*s", store_name(info->store),
		 *info->store_path ? ":" : "", MMAPSCOPE_PATH_LEN, info->store_path);
}

static void get_io(const struct column *column, const void *row, struct cell *cell)
{
	const struct mmapscope_info *info = row;

	(void)column;
	snprintf(cell->text, sizeof(cell->text), "%s", io_name(info->io_mode));
}

/* The column's index is the flag. */
static void get_flag(const struct column *column, const void *row, struct cell *cell)
{
	cell->number = !!(((const struct mmapscope_info *)row)->flags & column->index);
}

static void get_open_files(const struct column *column, const void *row, struct cell *cell)
{
	(void)column;
	cell->number = ((const struct mmapscope_info *)row)->open_files;
}

static void get_store_pages(const struct column *column, const void *row, struct cell *cell)
{
	(void)column;
	cell->number = ((const struct mmapscope_info *)row)->store_pages;
}

static void get_page_size(const struct column *column, const void *row, struct cell *cell)
{
	(void)column;
	cell->number = ((const struct mmapscope_info *)row)->page_size;
}

static const struct column list_column[] = {
	{ "name", NULL, COLUMN_TEXT, 0, get_name },
	{ "node", "NODE", COLUMN_TEXT, 0, get_node },
	{ "size", "SIZE", COLUMN_SIZE, 0, get_size },
	{ "store", NULL, COLUMN_TEXT, 0, get_store },
	{ "store_path", NULL, COLUMN_TEXT, 0, get_path },
	{ "io", "IO", COLUMN_TEXT, 0, get_io },
	{ "read_only", "READ-ONLY", COLUMN_FLAG, MMAPSCOPE_INFO_READ_ONLY, get_flag },
	{ "removed", "REMOVED", COLUMN_FLAG, MMAPSCOPE_INFO_REMOVED, get_flag },
	{ "open_files", "OPEN-FILES", COLUMN_NUMBER, 0, get_open_files },
	{ "store_pages", "STORE-PAGES", COLUMN_NUMBER, 0, get_store_pages },
	{ "page_size", NULL, COLUMN_SIZE, 0, get_page_size },
	{ NULL, "STORE", COLUMN_TEXT, 0, get_store_and_path },
};

static const struct columns list_columns = {
	list_column, ARRAY_SIZE(list_column), sizeof(struct mmapscope_info)
};

/* How many devices there are, of which the array took as many as there was room for. */
static int ask_list(int fd, struct mmapscope_info *info, __u32 room, __u32 *count)
{
	struct mmapscope_list list = {
		.size = sizeof(list),
		.count = room,
		.entry_size = sizeof(*info),
		.entries = (uintptr_t)info,
	};
	int error = retry_ioctl(fd, MMAPSCOPE_IOC_LIST, &list);

	*count = list.count;
	return error;
}

static int fill_list(int fd, struct device_list *list)
{
	struct mmapscope_info *info;
	__u32 room = 0, count = 16;
	int error = 0;

	/* Others may create devices between two calls. */
	while (!error && count > room) {
		room = count;
		info = realloc(list->info, room * sizeof(*info));
		if (!info)
			return -ENOMEM;
		list->info = info;
		memset(info, 0, room * sizeof(*info));
		error = ask_list(fd, info, room, &count);
	}
	list->nr = count;
	return error;
}

/**
 * read_list() - find out which devices there are
 * @list: the devices, by ascending number
 *
 * Return: false after a message; then there is nothing to free.
 */
bool read_list(struct device_list *list)
{
	int fd = open_control(O_RDONLY);
	int error;

	*list = (struct device_list){ 0 };
	if (fd < 0)
		return false;
	error = fill_list(fd, list);
	close(fd);
	if (!error)
		return true;
	free(list->info);
	fail_errno(MMAPSCOPE_CONTROL, -error, NULL);
	return false;
}

/**
 * print_list_json() - print devices as JSON
 * @info: the devices
 * @nr: how many
 */
void print_list_json(const struct mmapscope_info *info, size_t nr)
{
	struct json json = { .file = stdout };

	json_open(&json, NULL, '{');
	json_open(&json, "devices", '[');
	for (size_t i = 0; i < nr; i++) {
		json_open(&json, NULL, '{');
		json_members(&json, &list_columns, &info[i]);
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_close(&json, '}');
	json_end(&json);
}

/**
 * print_list_text() - print devices as a table
 * @info: the devices
 * @nr: how many
 */
void print_list_text(const struct mmapscope_info *info, size_t nr)
{
	print_table(stdout, &list_columns, info, nr);
}
