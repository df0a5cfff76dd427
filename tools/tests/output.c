// SPDX-License-Identifier: GPL-2.0
/*
 * What is printed: JSON, tables, records, sizes.
 */
#include <stdlib.h>

#include "../tool.h"
#include "tap.h"

/* main.c is not part of this program. */
bool json_wanted;

struct row {
	const char *text;
	__u64 number;
};

static void get_text(const struct column *column, const void *row, struct cell *cell)
{
	(void)column;
	snprintf(cell->text, sizeof(cell->text), "%s", ((const struct row *)row)->text);
}

static void get_number(const struct column *column, const void *row, struct cell *cell)
{
	cell->number = ((const struct row *)row)->number + column->index;
}

static const struct column column[] = {
	{ "text", "TEXT", COLUMN_TEXT, 0, get_text },
	{ "number", "NUMBER", COLUMN_NUMBER, 0, get_number },
	{ "next", NULL, COLUMN_NUMBER, 1, get_number },
	{ "size", "SIZE", COLUMN_SIZE, 0, get_number },
	{ "flag", "FLAG", COLUMN_FLAG, 0, get_number },
};

static const struct columns columns = { column, ARRAY_SIZE(column), sizeof(struct row) };
static const struct row rows[] = { { "a", 0 }, { "longer", 123456789 }, { "b\"", 2048 } };

/* Runs @print with a stream and compares what came out of it. */
static void test_output(void (*print)(FILE *file), const char *expected, const char *name)
{
	char *got = NULL;
	size_t length;
	FILE *file = open_memstream(&got, &length);

	print(file);
	fclose(file);
	tap_string(got, expected, name);
	free(got);
}

static void put_table(FILE *file)
{
	print_table(file, &columns, rows, ARRAY_SIZE(rows));
}

/* A line end would look like another row, and an escape sequence would reach the terminal. */
static void put_odd_table(FILE *file)
{
	static const struct row odd = { "a\nb \033]0;x\a\177\303\251", 1 };

	print_table(file, &columns, &odd, 1);
}

static void put_empty_table(FILE *file)
{
	print_table(file, &columns, rows, 0);
}

static void put_record(FILE *file)
{
	print_record(file, &columns, &rows[2], "> ");
}

static void put_json(FILE *file)
{
	struct json json = { .file = file };

	json_open(&json, NULL, '{');
	json_open(&json, "rows", '[');
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_open(&json, NULL, '{');
		json_members(&json, &columns, &rows[i]);
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_open(&json, "none", '[');
	json_close(&json, ']');
	json_seconds(&json, "time", 1000000007);
	json_close(&json, '}');
	json_end(&json);
}

static void put_two_texts(FILE *file)
{
	struct json json = { .file = file };

	for (int i = 0; i < 2; i++) {
		json_open(&json, NULL, '{');
		json_number(&json, "n", 18446744073709551615ULL);
		json_close(&json, '}');
		json_end(&json);
	}
}

static const struct setting setting[] = {
	{ MMAPSCOPE_POLICY_large_folio_kb, 2048 },
};

static void put_settings(FILE *file)
{
	print_settings(file, setting, ARRAY_SIZE(setting));
}

static void put_settings_json(FILE *file)
{
	json_settings(file, "mmapscope7", setting, ARRAY_SIZE(setting));
}

static const struct string_case {
	const char *text;
	const char *expected;
	const char *name;
} string_cases[] = {
	{ "", "\"\"", "empty" },
	{ "a/b", "\"a/b\"", "plain" },
	{ "\"\\", "\"\\\"\\\\\"", "quote and backslash" },
	{ "\n\t\x01\x7f", "\"\\u000a\\u0009\\u0001\\u007f\"", "control characters" },
	{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
	  "UTF-8 of 2, 3 and 4 bytes" },
	{ "\xffz", "\"\\ufffdz\"", "no UTF-8" },
	{ "\xc3", "\"\\ufffd\"", "UTF-8 that is cut off" },
	{ "\xc0\xaf", "\"\\ufffd\\ufffd\"", "UTF-8 that is longer than needed" },
	{ "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"", "surrogate" },
	{ "\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"", "above U+10FFFF" },
};

static void test_string(const struct string_case *test)
{
	char *got = NULL;
	size_t length;
	struct json json = { .file = open_memstream(&got, &length) };
	char name[64];

	json_string(&json, NULL, test->text);
	fclose(json.file);
	snprintf(name, sizeof(name), "JSON string: %s", test->name);
	tap_string(got, test->expected, name);
	free(got);
}

static const struct size_case {
	__u64 bytes;
	const char *expected;
} size_cases[] = {
	{ 0, "0" }, { 1, "1" }, { 1023, "1023" }, { 1024, "1K" }, { 1025, "1025" },
	{ 12288, "12K" }, { 1ULL << 20, "1M" }, { 1536ULL << 20, "1536M" }, { 1ULL << 40, "1T" },
	{ 1ULL << 60, "1E" }, { 18446744073709551615ULL, "18446744073709551615" },
};

/* What is printed can be typed. */
static void test_size(const struct size_case *test)
{
	char text[32], name[64];
	__u64 back = ~test->bytes;

	format_size(test->bytes, text, sizeof(text));
	snprintf(name, sizeof(name), "size %llu", test->bytes);
	tap_string(text, test->expected, name);
	snprintf(name, sizeof(name), "size %s is parsed again", text);
	tap_result(!parse_size(text, &back) && back == test->bytes, name);
}

int main(void)
{
	test_output(put_table,
		    "TEXT       NUMBER       SIZE  FLAG\n"
		    "a               0          0  no\n"
		    "longer  123456789  123456789  yes\n"
		    "b\"           2048         2K  yes\n", "table");
	test_output(put_odd_table,
		    "TEXT           NUMBER  SIZE  FLAG\n"
		    "a?b ?]0;x??\303\251       1     1  yes\n", "table with control characters");
	test_output(put_empty_table, "TEXT  NUMBER  SIZE  FLAG\n", "table without rows");
	test_output(put_record, "> text b\"\n> number 2048\n> size 2K\n> flag yes\n", "record");
	test_output(put_json,
		    "{\"rows\":[{\"text\":\"a\",\"number\":0,\"next\":1,\"size\":0,\"flag\":false},{\"text\":\"longer\",\"number\":123456789,\"next\":123456790,\"size\":123456789,\"flag\":true},{\"text\":\"b\\\"\",\"number\":2048,\"next\":2049,\"size\":2048,\"flag\":true}],\"none\":[],\"time\":1.000000007}\n",
		    "JSON");
	test_output(put_two_texts, "{\"n\":18446744073709551615}\n{\"n\":18446744073709551615}\n",
		    "two JSON texts do not get a comma");
	test_output(put_settings, "large_folio_kb 2048\n", "policies");
	test_output(put_settings_json,
		    "{\"device\":\"mmapscope7\",\"policies\":{\"large_folio_kb\":2048}}\n",
		    "policies as JSON");
	for (size_t i = 0; i < ARRAY_SIZE(string_cases); i++)
		test_string(&string_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(size_cases); i++)
		test_size(&size_cases[i]);
	return tap_end();
}
