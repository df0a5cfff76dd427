// SPDX-License-Identifier: GPL-2.0
/*
 * Text and JSON from one description, so that they cannot say different things.
 */
#include <ctype.h>
#include <string.h>

#include "tool.h"

/**
 * format_size() - write a size as the command line would take it
 * @bytes: the size
 * @text: where to
 * @room: bytes at @text
 *
 * Uses the largest suffix that keeps the value exact.
 */
void format_size(__u64 bytes, char *text, size_t room)
{
	static const char suffixes[] = "KMGTPE";
	const char *suffix = suffixes;

	if (!bytes || bytes % 1024) {
		snprintf(text, room, "%llu", bytes);
		return;
	}
	for (bytes /= 1024; bytes % 1024 == 0 && suffix[1]; bytes /= 1024)
		suffix++;
	snprintf(text, room, "%llu%c", bytes, *suffix);
}

static void get_cell(const struct column *column, const void *row, struct cell *cell)
{
	cell->number = 0;
	cell->text[0] = 0;
	column->get(column, row, cell);
}

/* The name of a file may hold anything, and this goes to a terminal, a line for each row. */
static void hide_controls(char *text)
{
	for (; *text; text++) {
		if (iscntrl((unsigned char)*text))
			*text = '?';
	}
}

/* Turns whatever the cell holds into what a person reads. */
static void get_text(const struct column *column, const void *row, struct cell *cell)
{
	get_cell(column, row, cell);
	switch (column->kind) {
	case COLUMN_TEXT:
		hide_controls(cell->text);
		break;
	case COLUMN_NUMBER:
		snprintf(cell->text, sizeof(cell->text), "%llu", cell->number);
		break;
	case COLUMN_SIZE:
		format_size(cell->number, cell->text, sizeof(cell->text));
		break;
	case COLUMN_FLAG:
		strcpy(cell->text, cell->number ? "yes" : "no");
		break;
	}
}

static size_t column_width(const struct column *column, size_t row_size, const char *rows,
			   size_t nr_rows)
{
	size_t width = strlen(column->heading);
	struct cell cell;

	for (size_t i = 0; i < nr_rows; i++) {
		size_t length;

		get_text(column, rows + i * row_size, &cell);
		length = strlen(cell.text);
		if (length > width)
			width = length;
	}
	return width;
}

static bool is_left(const struct column *column)
{
	return column->kind == COLUMN_TEXT || column->kind == COLUMN_FLAG;
}

/* The last column is not padded: lines do not end in blanks. */
static void put_padded(FILE *file, const struct column *column, const char *text, size_t width,
		       bool last)
{
	if (!is_left(column))
		fprintf(file, "%*s", (int)width, text);
	else if (last)
		fputs(text, file);
	else
		fprintf(file, "%-*s", (int)width, text);
	fputs(last ? "\n" : "  ", file);
}

static void put_row(FILE *file, const struct columns *columns, const size_t *width,
		    size_t last, const void *row)
{
	struct cell cell;

	for (size_t i = 0; i <= last; i++) {
		const struct column *column = &columns->column[i];

		if (!column->heading)
			continue;
		if (row)
			get_text(column, row, &cell);
		put_padded(file, column, row ? cell.text : column->heading, width[i], i == last);
	}
}

/**
 * print_table() - print rows as a table with headings
 * @file: where to
 * @columns: what of each row; those without a heading are left out
 * @rows: the rows
 * @nr_rows: how many
 */
void print_table(FILE *file, const struct columns *columns, const void *rows, size_t nr_rows)
{
	size_t width[columns->nr], last = 0;

	for (size_t i = 0; i < columns->nr; i++) {
		if (!columns->column[i].heading)
			continue;
		width[i] = column_width(&columns->column[i], columns->row_size, rows, nr_rows);
		last = i;
	}
	put_row(file, columns, width, last, NULL);
	for (size_t i = 0; i < nr_rows; i++)
		put_row(file, columns, width, last, (const char *)rows + i * columns->row_size);
}

/**
 * print_record() - print one row as lines of name and value
 * @file: where to
 * @columns: what of it; those without a heading are left out
 * @row: the row
 * @indent: before every line
 */
void print_record(FILE *file, const struct columns *columns, const void *row, const char *indent)
{
	struct cell cell;

	for (size_t i = 0; i < columns->nr; i++) {
		const struct column *column = &columns->column[i];

		if (!column->heading)
			continue;
		get_text(column, row, &cell);
		fprintf(file, "%s%s %s\n", indent, column->name, cell.text);
	}
}

/**
 * json_members() - write a row as members of the open object
 * @json: the text
 * @columns: what of it
 * @row: the row
 */
void json_members(struct json *json, const struct columns *columns, const void *row)
{
	struct cell cell;

	for (size_t i = 0; i < columns->nr; i++) {
		const struct column *column = &columns->column[i];

		if (!column->name)
			continue;
		get_cell(column, row, &cell);
		if (column->kind == COLUMN_TEXT)
			json_string(json, column->name, cell.text);
		else if (column->kind == COLUMN_FLAG)
			json_bool(json, column->name, cell.number);
		else
			json_number(json, column->name, cell.number);
	}
}

/**
 * print_result() - print what a command did
 * @columns: what of it
 * @row: the result
 *
 * One JSON object if --json was given, else a record.
 */
void print_result(const struct columns *columns, const void *row)
{
	struct json json = { .file = stdout };

	if (!json_wanted) {
		print_record(stdout, columns, row, "");
		return;
	}
	json_open(&json, NULL, '{');
	json_members(&json, columns, row);
	json_close(&json, '}');
	json_end(&json);
}
