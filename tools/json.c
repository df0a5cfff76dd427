// SPDX-License-Identifier: GPL-2.0
/*
 * A writer for JSON: RFC 8259, on one line, always valid UTF-8.
 */
#include <string.h>

#include "tool.h"

/*
 * Bytes in the UTF-8 sequence at @text; 0 if it is not one.  A name of a file may be any bytes, a
 * JSON text may not.
 */
static unsigned int utf8_length(const unsigned char *text)
{
	static const struct {
		unsigned char mask, lead;
		unsigned int least;
	} forms[] = {
		{ 0x80, 0x00, 0 },
		{ 0xe0, 0xc0, 0x80 },
		{ 0xf0, 0xe0, 0x800 },
		{ 0xf8, 0xf0, 0x10000 },
	};

	for (unsigned int more = 0; more < ARRAY_SIZE(forms); more++) {
		unsigned int code = text[0] & (unsigned char)~forms[more].mask;

		if ((text[0] & forms[more].mask) != forms[more].lead)
			continue;
		/* Ends at the string's NUL at the latest: that is no continuation byte. */
		for (unsigned int i = 1; i <= more; i++) {
			if ((text[i] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (text[i] & 0x3f);
		}
		if (code < forms[more].least || code > 0x10ffff || (code >> 11) == 0x1b)
			return 0;
		return more + 1;
	}
	return 0;
}

static void put_ascii(FILE *file, unsigned char character)
{
	if (character == '"' || character == '\\')
		fprintf(file, "\\%c", character);
	else if (character < 0x20 || character == 0x7f)
		fprintf(file, "\\u%04x", character);
	else
		fputc(character, file);
}

static void put_string(FILE *file, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	fputc('"', file);
	while (*at) {
		unsigned int length = utf8_length(at);

		if (length == 1)
			put_ascii(file, *at);
		else if (length)
			fwrite(at, 1, length, file);
		else
			fputs("\\ufffd", file);
		at += length ? length : 1;
	}
	fputc('"', file);
}

static void start_member(struct json *json, const char *key)
{
	if (json->comma)
		fputc(',', json->file);
	json->comma = true;
	if (key) {
		put_string(json->file, key);
		fputc(':', json->file);
	}
}

/**
 * json_open() - begin an object or an array
 * @json: the text
 * @key: its key, or NULL
 * @bracket: '{' or '['
 */
void json_open(struct json *json, const char *key, char bracket)
{
	start_member(json, key);
	fputc(bracket, json->file);
	json->comma = false;
}

/**
 * json_close() - end an object or an array
 * @json: the text
 * @bracket: '}' or ']'
 */
void json_close(struct json *json, char bracket)
{
	fputc(bracket, json->file);
	json->comma = true;
}

/**
 * json_number() - write a number
 * @json: the text
 * @key: its key, or NULL
 * @number: exact, also above 2^53, where some readers lose digits
 */
void json_number(struct json *json, const char *key, __u64 number)
{
	start_member(json, key);
	fprintf(json->file, "%llu", number);
}

/**
 * json_seconds() - write a time in seconds
 * @json: the text
 * @key: its key, or NULL
 * @nanoseconds: the time
 */
void json_seconds(struct json *json, const char *key, __u64 nanoseconds)
{
	start_member(json, key);
	/* Not through a double, whose decimal point depends on the locale. */
	fprintf(json->file, "%llu.%09llu", nanoseconds / 1000000000, nanoseconds % 1000000000);
}

/**
 * json_bool() - write true or false
 * @json: the text
 * @key: its key, or NULL
 * @value: which
 */
void json_bool(struct json *json, const char *key, bool value)
{
	start_member(json, key);
	fputs(value ? "true" : "false", json->file);
}

/**
 * json_string() - write a string
 * @json: the text
 * @key: its key, or NULL
 * @text: any bytes; what is not UTF-8 becomes U+FFFD
 */
void json_string(struct json *json, const char *key, const char *text)
{
	start_member(json, key);
	put_string(json->file, text);
}

/**
 * json_end() - end the line after the outermost value
 * @json: the text; the next value starts anew
 */
void json_end(struct json *json)
{
	fputc('\n', json->file);
	json->comma = false;
}
