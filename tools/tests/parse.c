// SPDX-License-Identifier: GPL-2.0
/*
 * What the command line's words mean.
 */
#include <limits.h>

#include "../tool.h"
#include "tap.h"

#define REFUSED 0xdeadbeefdeadbeefULL

/* Every parser of one number as a function of text. */
static __u64 size_of(const char *text)
{
	__u64 size;

	return parse_size(text, &size) ? REFUSED : size;
}

static __u64 time_of(const char *text)
{
	__u64 time;

	return parse_time(text, &time) ? REFUSED : time;
}

static __u64 number_of(const char *text)
{
	__u64 number;

	return parse_number(text, 100, &number) ? REFUSED : number;
}

static __u64 device_of(const char *text)
{
	unsigned int id;

	return parse_device(text, &id) ? REFUSED : id;
}

static __u64 store_of(const char *text)
{
	const char *path;
	__u32 store;

	return parse_store(text, &store, &path) ? REFUSED : store;
}

static __u64 policy_of(const char *text)
{
	struct setting setting;

	return parse_setting(text, &setting) ? REFUSED : setting.value;
}

struct number_case {
	const char *parser;
	__u64 (*parse)(const char *text);
	const char *text;
	__u64 expected;
};

#define SIZE "size", size_of
#define TIME "time", time_of
#define NUMBER "number", number_of
#define DEVICE "device", device_of
#define STORE "store", store_of
#define POLICY "policy", policy_of

static const struct number_case number_cases[] = {
	{ SIZE, "0", 0 },
	{ SIZE, "1", 1 },
	{ SIZE, "4096", 4096 },
	{ SIZE, "7B", 7 },
	{ SIZE, "1K", 1024 },
	{ SIZE, "1k", 1024 },
	{ SIZE, "1KiB", 1024 },
	{ SIZE, "64M", 64ULL << 20 },
	{ SIZE, "3G", 3ULL << 30 },
	{ SIZE, "1T", 1ULL << 40 },
	{ SIZE, "2PiB", 2ULL << 50 },
	{ SIZE, "15E", 15ULL << 60 },
	{ SIZE, "18446744073709551615", 18446744073709551615ULL },
	{ SIZE, "18446744073709551616", REFUSED },
	{ SIZE, "99999999999999999999999", REFUSED },
	{ SIZE, "16E", REFUSED },
	{ SIZE, "18014398509481984K", REFUSED },
	{ SIZE, "", REFUSED },
	{ SIZE, "K", REFUSED },
	{ SIZE, "-1", REFUSED },
	{ SIZE, "+1", REFUSED },
	{ SIZE, " 1", REFUSED },
	{ SIZE, "1 ", REFUSED },
	{ SIZE, "1.5G", REFUSED },
	{ SIZE, "0x10", REFUSED },
	{ SIZE, "1KB", REFUSED },
	{ SIZE, "1KK", REFUSED },
	{ SIZE, "1Q", REFUSED },
	{ TIME, "1", 1000000000 },
	{ TIME, "0.5", 500000000 },
	{ TIME, "1.25s", 1250000000 },
	{ TIME, "5ms", 5000000 },
	{ TIME, "1.5ms", 1500000 },
	{ TIME, "7us", 7000 },
	{ TIME, "0.5us", 500 },
	{ TIME, "2m", 120000000000ULL },
	{ TIME, "0.5h", 1800000000000ULL },
	{ TIME, "0.999999999h", 3599999996400ULL },
	{ TIME, "0.0000000001", 0 },
	{ TIME, "9223372036", 9223372036000000000ULL },
	{ TIME, "9223372037", REFUSED },
	{ TIME, "99999999999999h", REFUSED },
	{ TIME, ".5", REFUSED },
	{ TIME, "1.", REFUSED },
	{ TIME, "1.s", REFUSED },
	{ TIME, "-1", REFUSED },
	{ TIME, "1d", REFUSED },
	{ TIME, "1e3", REFUSED },
	{ NUMBER, "0", 0 },
	{ NUMBER, "100", 100 },
	{ NUMBER, "101", REFUSED },
	{ NUMBER, "1K", REFUSED },
	{ NUMBER, "", REFUSED },
	{ DEVICE, "0", 0 },
	{ DEVICE, "12", 12 },
	{ DEVICE, "mmapscope3", 3 },
	{ DEVICE, "/dev/mmapscope1023", 1023 },
	{ DEVICE, "1024", REFUSED },
	{ DEVICE, "00", REFUSED },
	{ DEVICE, "mmapscope01", REFUSED },
	{ DEVICE, "mmapscope", REFUSED },
	{ DEVICE, "mmapscope-control", REFUSED },
	{ DEVICE, "/dev/0", REFUSED },
	{ DEVICE, "/dev/mmapscope", REFUSED },
	{ DEVICE, "mmapscopemmapscope0", REFUSED },
	{ DEVICE, "0 ", REFUSED },
	{ DEVICE, "-1", REFUSED },
	{ DEVICE, "", REFUSED },
	{ STORE, "ram", MMAPSCOPE_STORE_RAM },
	{ STORE, "file:/x", MMAPSCOPE_STORE_FILE },
	{ STORE, "file:", REFUSED },
	{ STORE, "", REFUSED },
	{ POLICY, "large_folio_kb=0", 0 },
	{ POLICY, "large_folio_kb=2048", 2048 },
	{ POLICY, "large_folio_kb=2M", 2048 },
	{ POLICY, "large_folio_kb=64KiB", 64 },
	{ POLICY, "large_folio_kb=4096B", 4 },
	{ POLICY, "large_folio_kb=18446744073709551615", 18446744073709551615ULL },
	{ POLICY, "large_folio_kb=18446744073709551616", REFUSED },
	{ POLICY, "large_folio_kb=1000B", REFUSED },
	{ POLICY, "large_folio_kb=1Q", REFUSED },
	{ POLICY, "large_folio_kb=-1", REFUSED },
	{ POLICY, "large_folio_kb=", REFUSED },
	{ POLICY, "large_folio_kb", REFUSED },
	{ POLICY, "large_folio_k=1", REFUSED },
	{ POLICY, "large_folio_kbx=1", REFUSED },
	{ POLICY, "large_folio_kb_that_is_longer_than_any_name=1", REFUSED },
	{ POLICY, "=1", REFUSED },
	{ POLICY, "", REFUSED },
};

static void test_number(const struct number_case *test)
{
	__u64 got = test->parse(test->text);
	char name[128];

	snprintf(name, sizeof(name), "%s '%s' %s", test->parser, test->text,
		 test->expected == REFUSED ? "is refused" : "is accepted");
	tap_result(got == test->expected, name);
	if (got != test->expected)
		printf("# expected %llu, got %llu\n", test->expected, got);
}

static const struct range_case {
	const char *text;
	bool good;
	struct range expected;
} range_cases[] = {
	{ "0:0", true, { 0, 0 } },
	{ "4K:8K", true, { 4096, 8192 } },
	{ "1T:1", true, { 1ULL << 40, 1 } },
	{ "15E:1E", false, { 0, 0 } },
	{ "15E:1023P", true, { 15ULL << 60, 1023ULL << 50 } },
	{ "18446744073709551615:1", false, { 0, 0 } },
	{ "", false, { 0, 0 } },
	{ ":", false, { 0, 0 } },
	{ "1:", false, { 0, 0 } },
	{ ":1", false, { 0, 0 } },
	{ "1", false, { 0, 0 } },
	{ "1:2:3", false, { 0, 0 } },
	{ "1-2", false, { 0, 0 } },
	{ "00000000000000000000000000000000000000001:2", false, { 0, 0 } },
};

static void test_range(const struct range_case *test)
{
	struct range range = { 0 };
	const char *why = parse_range(test->text, &range);
	char name[128];
	bool good;

	good = test->good == !why && (why || (range.offset == test->expected.offset &&
					      range.length == test->expected.length));
	snprintf(name, sizeof(name), "range '%s' %s", test->text,
		 test->good ? "is accepted" : "is refused");
	tap_result(good, name);
	if (!good)
		printf("# got %llu:%llu, %s\n", range.offset, range.length, why ? why : "accepted");
}

static void test_pages(void)
{
	const struct range whole = { 8192, 4096 }, bad_start = { 1, 4096 }, bad_end = { 0, 4095 };

	tap_result(!check_range(&whole, 4096), "a range of whole pages is accepted");
	tap_string(check_range(&bad_start, 4096), "not a multiple of the page size (4096)",
		   "a range that starts inside of a page is refused");
	tap_string(check_range(&bad_end, 4096), "not a multiple of the page size (4096)",
		   "a range that ends inside of a page is refused");
	tap_result(check_range(&whole, 65536), "the page size is not always 4096");
}

static void test_device_size(void)
{
	tap_result(!check_device_size(4096, 4096), "a device may have one page");
	tap_result(!check_device_size(LLONG_MAX - 4095, 4096), "or all pages up to 8E less one");
	tap_string(check_device_size(0, 4096), "a device has at least one page",
		   "a device of size 0 is refused");
	tap_string(check_device_size(8ULL << 60, 4096), "a device has less than 8E",
		   "a device of 8E is refused");
	tap_string(check_device_size(4096, 65536), "not a multiple of the page size (65536)",
		   "a device of half a page is refused");
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(number_cases); i++)
		test_number(&number_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(range_cases); i++)
		test_range(&range_cases[i]);
	test_pages();
	test_device_size();
	tap_string(store_name(MMAPSCOPE_STORE_RAM), "ram", "a store has a name");
	tap_string(store_name(77), "unknown", "a store of a newer module has none");
	return tap_end();
}
