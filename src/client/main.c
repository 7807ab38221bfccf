/*-------------------------------------------------------------------------
 *
 * main.c
 *	  pg_derive: look at, check and wait for derived tables.
 *
 * The program is a set of commands (commands.h).  Connection options may stand
 * before or after the command; everything else belongs to the command.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "commands.h"

typedef struct Command
{
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv, ConnOptions *options);
} Command;

/* Sorted by name, as --help prints them. */
static const Command commands[] = {
	{"explain", "show how a view or a query is maintained", derive_client_explain},
	{"verify", "compare views with their queries", derive_client_verify},
	{"wait", "wait until views contain what is committed", derive_client_wait},
	{"watch", "show pipelines and views while they work", derive_client_watch},
};

#define NUM_COMMANDS ((int) (sizeof(commands) / sizeof(commands[0])))

/* Prints what --help asks for. */
static void
print_help(void)
{
	printf("%s shows, checks and waits for derived tables of a PostgreSQL database.\n\n",
		   CLIENT_NAME);
	printf("Usage:\n  %s [OPTION]... COMMAND [OPTION]... [ARGUMENT]...\n", CLIENT_NAME);
	printf("\nCommands:\n");
	for (int i = 0; i < NUM_COMMANDS; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].summary);
	printf("\nOptions:\n"
		   "  -V, --version            output version information, then exit\n"
		   "  -?, --help               show this help, then exit\n");
	derive_client_print_connection_help();
	printf("\n\"%s COMMAND --help\" describes one command.\n", CLIENT_NAME);
}

/* Returns the command of that name, or complains and exits. */
static const Command *
find_command(const char *name)
{
	for (int i = 0; i < NUM_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	derive_client_usage_error(NULL, "unknown command \"%s\"", name);
}

int
main(int argc, char **argv)
{
	static const struct option long_options[] = {
		COMMON_LONG_OPTIONS, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
	ConnOptions options = {0};
	const Command *command;
	char **command_argv;
	int c;

	if (derive_client_wants_help(argc, argv))
	{
		print_help();
		return EXIT_OK;
	}
	/* "+": stop at the command, whose options are its own. */
	while ((c = getopt_long(argc, argv, "+V" COMMON_SHORT_OPTIONS, long_options, NULL)) !=
		   -1)
	{
		if (c == 'V')
		{
			printf("%s %s\n", CLIENT_NAME, CLIENT_VERSION);
			return EXIT_OK;
		}
		if (c == OPTION_HELP)
		{
			print_help();
			return EXIT_OK;
		}
		if (!derive_client_common_option(&options, c, optarg))
			derive_client_usage_error(NULL, NULL);
	}
	if (optind == argc)
		derive_client_usage_error(NULL, "no command given");
	command = find_command(argv[optind]);

	/* getopt's own messages begin with argv[0]: let them name the program. */
	command_argv = argv + optind;
	command_argv[0] = (char *) CLIENT_NAME;
	argc -= optind;
	optind = 0; /* makes getopt start afresh */
	return command->run(argc, command_argv, &options);
}
