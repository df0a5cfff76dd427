// SPDX-License-Identifier: GPL-2.0
/* list */
#include <stdlib.h>

#include "tool.h"

static int run_list(const struct command *self, int argc, char **argv)
{
	int choice = next_choice(self, argc, argv);
	struct device_list list;

	if (choice != CHOICE_END)
		return leave_code(choice);
	if (!want_arguments(self, argc, 0, 0))
		return EXIT_USAGE;
	if (!read_list(&list))
		return EXIT_FAILED;
	if (json_wanted)
		print_list_json(list.info, list.nr);
	else
		print_list_text(list.info, list.nr);
	free(list.info);
	return EXIT_DONE;
}

const struct command cmd_list = {
	.name = "list",
	.arguments = "",
	.summary = "List the devices",
	.json = true,
	.run = run_list,
};
