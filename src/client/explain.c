/*-------------------------------------------------------------------------
 *
 * explain.c
 *	  pg_derive explain: how a view is, or a query would be, maintained.
 *
 * A front end to derive.explain().  The query of --query need not be a view
 * yet: a refusal names the construct and its place, and exits with 1.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>

#include "commands.h"

/* Prints what --help asks for. */
static void
print_help(void)
{
	printf("%s explain shows the stages, rules and statements that maintain a view.\n\n",
		   CLIENT_NAME);
	printf("Usage:\n  %s explain [OPTION]... VIEW\n"
		   "  %s explain [OPTION]... --query=SELECT\n",
		   CLIENT_NAME, CLIENT_NAME);
	printf("\nOptions:\n"
		   "  -q, --query=SELECT       explain this query instead of a view\n"
		   "  -?, --help               show this help, then exit\n");
	derive_client_print_connection_help();
}

/* Prints the explanation of the view or of the query, a line per row. */
static void
print_explanation(PGconn *conn, const char *view, const char *query)
{
	PGresult *res;

	if (query)
		res = derive_client_query(
			conn, "SELECT * FROM derive.explain(query => $1::pg_catalog.text)", 1,
			&query);
	else
		res = derive_client_query(
			conn, "SELECT * FROM derive.explain(view => $1::pg_catalog.regclass)", 1,
			&view);
	for (int row = 0; row < PQntuples(res); row++)
		printf("%s\n", PQgetvalue(res, row, 0));
	derive_client_flush();
	PQclear(res);
}

/* Explains the view that is the argument, or the query that is the option. */
int
derive_client_explain(int argc, char **argv, ConnOptions *options)
{
	static const struct option long_options[] = {
		COMMON_LONG_OPTIONS, {"query", required_argument, NULL, 'q'}, {NULL, 0, NULL, 0}};
	const char *query = NULL;
	PGconn *conn;
	int c;

	if (derive_client_wants_help(argc, argv))
	{
		print_help();
		return EXIT_OK;
	}
	while ((c = getopt_long(argc, argv, "q:" COMMON_SHORT_OPTIONS, long_options, NULL)) !=
		   -1)
	{
		if (c == 'q')
			query = optarg;
		else if (c == OPTION_HELP)
		{
			print_help();
			return EXIT_OK;
		}
		else if (!derive_client_common_option(options, c, optarg))
			derive_client_usage_error("explain", NULL);
	}
	if (query == NULL && optind == argc)
		derive_client_usage_error("explain", "no view and no query given");
	if (argc - optind > (query ? 0 : 1))
		derive_client_usage_error("explain",
								  "too many command-line arguments (first is \"%s\")",
								  argv[query ? optind : optind + 1]);

	conn = derive_client_connect(options);
	derive_client_catch_interrupt(conn);
	print_explanation(conn, argv[optind], query);
	PQfinish(conn);
	return EXIT_OK;
}
