// SPDX-License-Identifier: GPL-2.0
/*
 * From words of the command line to numbers.  Every parser takes the whole word or refuses it, and
 * returns NULL or why it refused.
 */
#include <limits.h>
#include <string.h>

#include "tool.h"

struct unit {
	const char *suffix;
	__u64 factor;
};

/* Powers of 1024, as pages are counted; "KB" is left out because it could mean 1000. */
static const struct unit size_units[] = {
	{ "", 1 }, { "B", 1 },
	{ "K", 1ULL << 10 }, { "k", 1ULL << 10 }, { "KiB", 1ULL << 10 },
	{ "M", 1ULL << 20 }, { "m", 1ULL << 20 }, { "MiB", 1ULL << 20 },
	{ "G", 1ULL << 30 }, { "g", 1ULL << 30 }, { "GiB", 1ULL << 30 },
	{ "T", 1ULL << 40 }, { "t", 1ULL << 40 }, { "TiB", 1ULL << 40 },
	{ "P", 1ULL << 50 }, { "p", 1ULL << 50 }, { "PiB", 1ULL << 50 },
	{ "E", 1ULL << 60 }, { "e", 1ULL << 60 }, { "EiB", 1ULL << 60 },
};

static const struct unit time_units[] = {
	{ "", 1000000000 }, { "s", 1000000000 }, { "ms", 1000000 }, { "us", 1000 },
	{ "m", 60000000000ULL }, { "h", 3600000000000ULL },
};

static const struct unit *find_unit(const struct unit *units, size_t nr, const char *suffix)
{
	for (size_t i = 0; i < nr; i++) {
		if (!strcmp(units[i].suffix, suffix))
			return &units[i];
	}
	return NULL;
}

/* Leading decimal digits; strtoull() would take signs, blanks and other bases too. */
static const char *parse_digits(const char **text, __u64 *number)
{
	const char *at = *text;
	__u64 value = 0;

	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, *at - '0', &value))
			return "the number is too large";
	}
	if (at == *text)
		return "a number is expected";
	*text = at;
	*number = value;
	return NULL;
}

/**
 * parse_size() - parse a number of bytes
 * @text: digits and at most one suffix: K M G T P E, also as KiB and so on
 * @size: the bytes
 *
 * Return: NULL, or why @text is not a size.
 */
const char *parse_size(const char *text, __u64 *size)
{
	const char *why = parse_digits(&text, size);
	const struct unit *unit;

	if (why)
		return why;
	unit = find_unit(size_units, ARRAY_SIZE(size_units), text);
	if (!unit)
		return "the suffix is none of K M G T P E";
	if (__builtin_mul_overflow(*size, unit->factor, size))
		return "the size is too large";
	return NULL;
}

/**
 * parse_number() - parse a plain number
 * @text: digits
 * @most: the largest that is accepted
 * @number: the number
 *
 * Return: NULL, or why @text is not accepted.
 */
const char *parse_number(const char *text, __u64 most, __u64 *number)
{
	const char *why = parse_digits(&text, number);

	if (why)
		return why;
	if (*text)
		return "a plain number is expected";
	return *number > most ? "the number is too large" : NULL;
}

/* The digits after a decimal point, in nanounits. */
static const char *parse_fraction(const char **text, __u64 *billionths)
{
	const char *at = *text;
	__u64 value = 0, weight = 100000000;

	*billionths = 0;
	if (*at != '.')
		return NULL;
	for (at++; *at >= '0' && *at <= '9'; at++, weight /= 10)
		value += (*at - '0') * weight;
	if (at == *text + 1)
		return "digits are expected after the point";
	*text = at;
	*billionths = value;
	return NULL;
}

/**
 * parse_time() - parse a time span
 * @text: a decimal number and a unit: us, ms, s (also without unit), m, h
 * @nanoseconds: the time
 *
 * Return: NULL, or why @text is not a time.
 */
const char *parse_time(const char *text, __u64 *nanoseconds)
{
	const char *why = parse_digits(&text, nanoseconds);
	const struct unit *unit;
	__u64 billionths;

	if (!why)
		why = parse_fraction(&text, &billionths);
	if (why)
		return why;
	unit = find_unit(time_units, ARRAY_SIZE(time_units), text);
	if (!unit)
		return "the unit is none of us ms s m h";
	/* The longest unit has 3.6e12 ns, so the product is below 2^64 after the division. */
	billionths = billionths * (unit->factor / 1000) / 1000000;
	if (__builtin_mul_overflow(*nanoseconds, unit->factor, nanoseconds) ||
	    __builtin_add_overflow(*nanoseconds, billionths, nanoseconds) ||
	    *nanoseconds > LLONG_MAX)
		return "the time is too long";
	return NULL;
}

static const char *skip_prefix(const char *text, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(text, prefix, length) ? text : text + length;
}

/**
 * parse_device() - parse the name of a device
 * @text: "0", "mmapscope0" or "/dev/mmapscope0"
 * @id: its number
 *
 * Return: NULL, or why @text does not name a device.
 */
const char *parse_device(const char *text, unsigned int *id)
{
	const char *digits = skip_prefix(text, MMAPSCOPE_NODE_PREFIX);
	__u64 number;

	if (digits == text)
		digits = skip_prefix(text, "mmapscope");
	/* One name for one device: 00 would be another spelling of 0. */
	if (parse_number(digits, MMAPSCOPE_MAX_DEVICES - 1, &number) ||
	    (digits[0] == '0' && digits[1]))
		return "not a device: 0, mmapscope0 or /dev/mmapscope0 are expected";
	*id = number;
	return NULL;
}

/**
 * parse_range() - parse a range of bytes
 * @text: OFF:LEN, both as for parse_size()
 * @range: the range; its end does not overflow
 *
 * Return: NULL, or why @text is not a range.
 */
const char *parse_range(const char *text, struct range *range)
{
	const char *colon = strchr(text, ':');
	char offset[32];
	const char *why;
	__u64 end;

	if (!colon || colon - text >= (ptrdiff_t)sizeof(offset))
		return "a range is OFF:LEN, for example 1M:64K";
	memcpy(offset, text, colon - text);
	offset[colon - text] = 0;
	why = parse_size(offset, &range->offset);
	if (!why)
		why = parse_size(colon + 1, &range->length);
	if (!why && __builtin_add_overflow(range->offset, range->length, &end))
		why = "the range ends beyond 2^64";
	return why;
}

/**
 * check_pages() - refuse what is not a whole number of pages
 * @bytes: a size or offset
 * @page_size: bytes in a page
 *
 * Return: NULL, or why it is refused.
 */
const char *check_pages(__u64 bytes, __u64 page_size)
{
	static char why[64];

	if (bytes % page_size == 0)
		return NULL;
	snprintf(why, sizeof(why), "not a multiple of the page size (%llu)", page_size);
	return why;
}

/**
 * check_device_size() - refuse what no device has as its size
 * @size: bytes
 * @page_size: bytes in a page
 *
 * Return: NULL, or why it is refused.
 */
const char *check_device_size(__u64 size, __u64 page_size)
{
	if (!size)
		return "a device has at least one page";
	if (size > LLONG_MAX)
		return "a device has less than 8E";
	return check_pages(size, page_size);
}

/**
 * check_range() - refuse a range that does not consist of pages
 * @range: the range
 * @page_size: bytes in a page
 *
 * Return: NULL, or why it is refused.
 */
const char *check_range(const struct range *range, __u64 page_size)
{
	const char *why = check_pages(range->offset, page_size);

	return why ? why : check_pages(range->length, page_size);
}

static const char * const store_names[] = {
	[MMAPSCOPE_STORE_RAM] = "ram",
	[MMAPSCOPE_STORE_FILE] = "file",
};

static const char * const io_names[] = {
	[MMAPSCOPE_IO_MEMORY] = "memory",
	[MMAPSCOPE_IO_DIRECT] = "direct",
	[MMAPSCOPE_IO_BUFFERED] = "buffered",
	[MMAPSCOPE_IO_BLOCK] = "block",
};

/**
 * parse_store() - parse what stands behind a device
 * @text: "ram" or "file:PATH"
 * @store: enum mmapscope_store
 * @path: PATH, within @text; NULL if there is none
 *
 * Return: NULL, or why @text is refused.
 */
const char *parse_store(const char *text, __u32 *store, const char **path)
{
	*path = NULL;
	if (!strcmp(text, store_names[MMAPSCOPE_STORE_RAM])) {
		*store = MMAPSCOPE_STORE_RAM;
		return NULL;
	}
	if (strncmp(text, "file:", 5))
		return "not a store: ram or file:PATH is expected";
	if (!text[5])
		return "a path is missing after file:";
	*store = MMAPSCOPE_STORE_FILE;
	*path = text + 5;
	return NULL;
}

/**
 * store_name() - the word for a store
 * @store: enum mmapscope_store, perhaps one that only a newer module knows
 *
 * Return: the word that parse_store() takes, without a path.
 */
const char *store_name(__u32 store)
{
	return store < ARRAY_SIZE(store_names) ? store_names[store] : "unknown";
}

/**
 * io_name() - the word for how pages get to a store
 * @mode: enum mmapscope_io_mode, perhaps one that only a newer module knows
 */
const char *io_name(__u32 mode)
{
	return mode < ARRAY_SIZE(io_names) ? io_names[mode] : "unknown";
}
