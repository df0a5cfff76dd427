// SPDX-License-Identifier: GPL-2.0
/*
 * The policies of a device: their names, what may be written for a value, and how they are shown.
 */
#include <string.h>

#include "tool.h"

/**
 * struct policy - what is known of a policy
 * @name: its name
 * @range: the values that the module takes
 */
struct policy {
	const char *name;
	const char *range;
};

#define RANGE_large_folio_kb "0, or a power of two from the page size to what a PMD maps (2048 with pages of 4 KiB)"

#define POLICY(name, text) { #name, RANGE_##name },
static const struct policy policies[MMAPSCOPE_NR_POLICIES] = {
	MMAPSCOPE_POLICIES(POLICY)
};

/**
 * policy_name() - the name of a policy
 * @id: enum mmapscope_policy_id
 */
const char *policy_name(unsigned int id)
{
	return policies[id].name;
}

/**
 * policy_range() - the values that a policy takes, for a message
 * @id: enum mmapscope_policy_id
 */
const char *policy_range(unsigned int id)
{
	return policies[id].range;
}

/**
 * parse_policy() - parse the name of a policy
 * @name: the name
 * @id: enum mmapscope_policy_id
 *
 * Return: NULL, or why @name is refused.
 */
const char *parse_policy(const char *name, unsigned int *id)
{
	for (*id = 0; *id < MMAPSCOPE_NR_POLICIES; ++*id) {
		if (!strcmp(policies[*id].name, name))
			return NULL;
	}
	return "there is no such policy: 'mmapscope policy get DEV' shows those there are";
}

static bool counts_kb(const char *name)
{
	size_t length = strlen(name);

	return length > 3 && !strcmp(name + length - 3, "_kb");
}

/* A number without a suffix is what the kernel is given; with one it is a size. */
static const char *parse_value(const char *text, bool kb, __u64 *value)
{
	const char *why;

	if (!kb || !text[strspn(text, "0123456789")])
		return parse_number(text, ~0ULL, value);
	why = parse_size(text, value);
	if (!why && *value % 1024)
		why = "not a multiple of 1K";
	*value /= 1024;
	return why;
}

/**
 * parse_setting() - parse what a policy shall be
 * @text: NAME=VALUE; if the name ends in _kb, VALUE is a number of KiB or a size with a suffix
 * @setting: the policy and the value
 *
 * Return: NULL, or why @text is refused.
 */
const char *parse_setting(const char *text, struct setting *setting)
{
	const char *equals = strchr(text, '=');
	const char *why;
	char name[32];

	if (!equals || equals == text)
		return "NAME=VALUE is expected";
	/* A name that was cut off is not one that there is, either. */
	snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
	why = parse_policy(name, &setting->id);
	return why ? why : parse_value(equals + 1, counts_kb(name), &setting->value);
}

/**
 * print_settings() - print policies as lines of name and value
 * @file: where to
 * @setting: the policies
 * @nr: how many
 */
void print_settings(FILE *file, const struct setting *setting, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		fprintf(file, "%s %llu\n", policy_name(setting[i].id), setting[i].value);
}

/**
 * json_settings() - print policies as a JSON object
 * @file: where to
 * @device: name of the device
 * @setting: the policies
 * @nr: how many
 */
void json_settings(FILE *file, const char *device, const struct setting *setting, size_t nr)
{
	struct json json = { .file = file };

	json_open(&json, NULL, '{');
	json_string(&json, "device", device);
	json_open(&json, "policies", '{');
	for (size_t i = 0; i < nr; i++)
		json_number(&json, policy_name(setting[i].id), setting[i].value);
	json_close(&json, '}');
	json_close(&json, '}');
	json_end(&json);
}
