/*-------------------------------------------------------------------------
 *
 * wait.c
 *	  pg_derive wait: returns when the views contain what is committed.
 *
 * A front end to derive.wait(), for scripts: the exit code says whether the
 * views got there in time, the output is the LSN that they have reached.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>

#include "commands.h"

/* Prints what --help asks for. */
static void
print_help(void)
{
	printf("%s wait returns when views contain everything that was committed before.\n\n",
		   CLIENT_NAME);
	printf("Usage:\n  %s wait [OPTION]...\n", CLIENT_NAME);
	printf(
		"\nOptions:\n"
		"      --lsn=LSN            wait for this position instead of the current one\n"
		"      --timeout=TIME       fail after this time: seconds or an interval\n"
		"      --view=VIEW          wait for this view instead of all live ones\n"
		"  -?, --help               show this help, then exit\n");
	derive_client_print_connection_help();
}

/* Waits as the options say and prints the position reached. */
int
derive_client_wait(int argc, char **argv, ConnOptions *options)
{
	enum
	{
		OPTION_LSN = 1,
		OPTION_TIMEOUT,
		OPTION_VIEW
	};
	static const struct option long_options[] = {
		COMMON_LONG_OPTIONS,
		{"lsn", required_argument, NULL, OPTION_LSN},
		{"timeout", required_argument, NULL, OPTION_TIMEOUT},
		{"view", required_argument, NULL, OPTION_VIEW},
		{NULL, 0, NULL, 0}};
	const char *params[3] = {NULL, NULL, NULL};
	PGconn *conn;
	PGresult *res;
	int c;

	if (derive_client_wants_help(argc, argv))
	{
		print_help();
		return EXIT_OK;
	}
	while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, long_options, NULL)) != -1)
	{
		if (c >= OPTION_LSN && c <= OPTION_VIEW)
			params[c - OPTION_LSN] = optarg;
		else if (c == OPTION_HELP)
		{
			print_help();
			return EXIT_OK;
		}
		else if (!derive_client_common_option(options, c, optarg))
			derive_client_usage_error("wait", NULL);
	}
	if (optind < argc)
		derive_client_usage_error(
			"wait", "too many command-line arguments (first is \"%s\")", argv[optind]);

	conn = derive_client_connect(options);
	derive_client_catch_interrupt(conn);
	res = derive_client_query(conn,
							  "SELECT derive.wait(target => $1::pg_catalog.pg_lsn,"
							  " timeout => $2::pg_catalog.interval,"
							  " view => $3::pg_catalog.regclass)",
							  3, params);
	printf("%s\n", PQgetvalue(res, 0, 0));
	derive_client_flush();
	PQclear(res);
	PQfinish(conn);
	return EXIT_OK;
}
