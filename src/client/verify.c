/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  pg_derive verify: compares views with their queries.
 *
 * A front end to derive.verify(), which compares at the view's own frontier
 * and so under load.  Differences are printed as they arrive, a line each, and
 * held nowhere: there may be as many as the view has rows.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"

/* Prints what --help asks for. */
static void
print_help(void)
{
	printf("%s verify compares views with their queries and prints each difference.\n\n",
		   CLIENT_NAME);
	printf("Usage:\n  %s verify [OPTION]... [VIEW]...\n", CLIENT_NAME);
	printf("\nWithout a VIEW, all views of the database are compared.\n");
	printf("\nOptions:\n"
		   "  -q, --quiet              print nothing, only set the exit status\n"
		   "  -?, --help               show this help, then exit\n");
	derive_client_print_connection_help();
}

/* Prints one difference: which view, whether it lacks or has the row, how often. */
static void
print_difference(const char *view, const PGresult *res)
{
	printf("%s: %s %s %s\n", view, PQgetvalue(res, 0, 0), PQgetvalue(res, 0, 1),
		   PQgetvalue(res, 0, 2));
}

/*
 * Compares one view and returns the exit code.  An error leaves the connection
 * usable for the next view.
 */
static int
verify_view(PGconn *conn, const char *view, bool quiet)
{
	int code = EXIT_OK;
	bool failed = false;
	PGresult *res;

	if (!PQsendQueryParams(conn,
						   "SELECT kind, difference, \"row\""
						   " FROM derive.verify($1::pg_catalog.regclass)",
						   1, NULL, &view, NULL, NULL, 0) ||
		!PQsetSingleRowMode(conn))
		exit(derive_client_report(conn, NULL));
	while ((res = PQgetResult(conn)) != NULL)
	{
		if (PQresultStatus(res) == PGRES_SINGLE_TUPLE)
		{
			code = EXIT_ERROR;
			if (!quiet)
				print_difference(view, res);
		}
		else if (PQresultStatus(res) != PGRES_TUPLES_OK)
		{
			code = derive_client_report(conn, res);
			failed = true;
		}
		PQclear(res);
	}
	if (PQstatus(conn) == CONNECTION_BAD)
		exit(EXIT_UNUSABLE);
	if (!quiet && !failed)
		printf("%s: %s\n", view, code == EXIT_OK ? "equal" : "different");
	derive_client_flush();
	return code;
}

/* Compares all views of the database and returns the exit code. */
static int
verify_all(PGconn *conn, bool quiet)
{
	PGresult *views = derive_client_query(conn,
										  "SELECT \"view\"::pg_catalog.text"
										  " FROM derive.views ORDER BY 1",
										  0, NULL);
	int code = EXIT_OK;

	for (int row = 0; row < PQntuples(views) && !derive_client_interrupted(); row++)
		if (verify_view(conn, PQgetvalue(views, row, 0), quiet) != EXIT_OK)
			code = EXIT_ERROR;
	PQclear(views);
	return code;
}

/* Compares the views that are the arguments, or all. */
int
derive_client_verify(int argc, char **argv, ConnOptions *options)
{
	static const struct option long_options[] = {
		COMMON_LONG_OPTIONS, {"quiet", no_argument, NULL, 'q'}, {NULL, 0, NULL, 0}};
	bool quiet = false;
	int code = EXIT_OK;
	PGconn *conn;
	int c;

	if (derive_client_wants_help(argc, argv))
	{
		print_help();
		return EXIT_OK;
	}
	while ((c = getopt_long(argc, argv, "q" COMMON_SHORT_OPTIONS, long_options, NULL)) !=
		   -1)
	{
		if (c == 'q')
			quiet = true;
		else if (c == OPTION_HELP)
		{
			print_help();
			return EXIT_OK;
		}
		else if (!derive_client_common_option(options, c, optarg))
			derive_client_usage_error("verify", NULL);
	}

	conn = derive_client_connect(options);
	derive_client_catch_interrupt(conn);
	if (optind == argc)
		code = verify_all(conn, quiet);
	for (int i = optind; i < argc && !derive_client_interrupted(); i++)
		if (verify_view(conn, argv[i], quiet) != EXIT_OK)
			code = EXIT_ERROR;
	PQfinish(conn);
	return code;
}
