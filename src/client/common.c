/*-------------------------------------------------------------------------
 *
 * common.c
 *	  Connection, queries, cancel and messages for the pg_derive program.
 *
 * The conventions are those of core's client programs: the same connection
 * options and environment, a password asked on the terminal when the server
 * wants one, messages on stderr as "pg_derive: error: ...", and Ctrl-C cancels
 * the running query instead of leaving it behind in the server.
 *
 * Nothing here frees memory on the way out; the process ends soon after.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>

#include "common.h"

/* What the signal handler cancels; set before the handler is. */
static PGcancel *volatile running = NULL;

static volatile sig_atomic_t interrupted = false;

/* Takes a connection option into options; returns false if c is none. */
bool
derive_client_common_option(ConnOptions *options, int c, const char *value)
{
	switch (c)
	{
		case 'h':
			options->host = value;
			return true;
		case 'p':
			options->port = value;
			return true;
		case 'U':
			options->user = value;
			return true;
		case 'd':
			options->dbname = value;
			return true;
		case 'w':
			options->prompt = PROMPT_NEVER;
			return true;
		case 'W':
			options->prompt = PROMPT_ALWAYS;
			return true;
		default:
			return false;
	}
}

/* Says whether the first argument asks for help, which getopt cannot tell for "-?". */
bool
derive_client_wants_help(int argc, char **argv)
{
	return argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0);
}

/* Prints the part of --help that all commands have in common. */
void
derive_client_print_connection_help(void)
{
	printf(
		"\nConnection options:\n"
		"  -d, --dbname=DBNAME      database to connect to, or a connection string\n"
		"  -h, --host=HOSTNAME      database server host or socket directory\n"
		"  -p, --port=PORT          database server port\n"
		"  -U, --username=USERNAME  user name to connect as\n"
		"  -w, --no-password        never prompt for password\n"
		"  -W, --password           force password prompt\n"
		"\nThe environment (PGHOST, PGPORT, PGUSER, PGDATABASE ...) counts as in psql.\n"
		"\nExit status: 0 done; 1 error or difference; 2 bad usage or no connection.\n");
}

/* Prints an error message in the style of core's programs. */
void
derive_client_error(const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s: error: ", CLIENT_NAME);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

/* Complains about the command line and exits; command is NULL outside of one. */
void
derive_client_usage_error(const char *command, const char *fmt, ...)
{
	va_list args;

	if (fmt)
	{
		fprintf(stderr, "%s: error: ", CLIENT_NAME);
		va_start(args, fmt);
		vfprintf(stderr, fmt, args);
		va_end(args);
		fputc('\n', stderr);
	}
	fprintf(stderr, "%s: hint: Try \"%s%s%s --help\" for more information.\n",
			CLIENT_NAME, CLIENT_NAME, command ? " " : "", command ? command : "");
	exit(EXIT_UNUSABLE);
}

/* Writes out what stdout holds; a full disk or a closed pipe ends the program. */
void
derive_client_flush(void)
{
	if (fflush(stdout) != 0 || ferror(stdout))
	{
		fprintf(stderr, "%s: error: could not write to standard output: %s\n",
				CLIENT_NAME, strerror(errno));
		exit(EXIT_ERROR);
	}
}

/* Returns zeroed memory, or exits. */
void *
derive_client_alloc(size_t size)
{
	void *memory = calloc(1, size > 0 ? size : 1);

	if (memory == NULL)
	{
		derive_client_error("out of memory");
		exit(EXIT_ERROR);
	}
	return memory;
}

/* Returns a formatted string in memory that the caller may free. */
char *
derive_client_format(const char *fmt, ...)
{
	va_list args;
	int len;
	char *text;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	text = derive_client_alloc(len + 1);
	va_start(args, fmt);
	vsnprintf(text, len + 1, fmt, args);
	va_end(args);
	return text;
}

/* Returns value as a positive number of seconds, or complains about the option. */
double
derive_client_parse_seconds(const char *command, const char *option, const char *value)
{
	char *end;
	double seconds = strtod(value, &end);

	if (end == value || *end != '\0' || !isfinite(seconds) || seconds <= 0)
		derive_client_usage_error(command, "invalid value \"%s\" for option %s", value,
								  option);
	return seconds;
}

/* Asks for a password on the terminal without showing it. */
static char *
ask_password(void)
{
	FILE *in = fopen("/dev/tty", "r");
	FILE *out = fopen("/dev/tty", "w");
	struct termios shown, hidden;
	char line[1024] = "";

	if (in == NULL || out == NULL)
	{
		in = stdin;
		out = stderr;
	}
	fputs("Password: ", out);
	fflush(out);
	if (tcgetattr(fileno(in), &shown) == 0)
	{
		hidden = shown;
		hidden.c_lflag &= ~ECHO;
		tcsetattr(fileno(in), TCSAFLUSH, &hidden);
	}
	if (fgets(line, sizeof(line), in) == NULL)
		line[0] = '\0';
	if (tcgetattr(fileno(in), &hidden) == 0)
		tcsetattr(fileno(in), TCSAFLUSH, &shown);
	fputc('\n', out);
	line[strcspn(line, "\r\n")] = '\0';
	return derive_client_format("%s", line);
}

/* Tries to connect once. */
static PGconn *
try_connect(const ConnOptions *options, const char *password)
{
	const char *keywords[] = {"host",
							  "port",
							  "user",
							  "password",
							  "dbname",
							  "fallback_application_name",
							  "client_encoding",
							  NULL};
	const char *values[] = {options->host,	 options->port, options->user, password,
							options->dbname, CLIENT_NAME,	"auto",		   NULL};
	PGconn *conn = PQconnectdbParams(keywords, values, 1);

	if (conn == NULL)
	{
		derive_client_error("out of memory");
		exit(EXIT_UNUSABLE);
	}
	return conn;
}

/* Exits unless the extension is in the database, with the statement to run. */
static void
require_extension(PGconn *conn)
{
	PGresult *res = derive_client_query(conn,
										"SELECT FROM pg_catalog.pg_extension"
										" WHERE extname = 'pg_derive'",
										0, NULL);

	if (PQntuples(res) == 0)
	{
		derive_client_error("extension \"pg_derive\" is not installed in database \"%s\"",
							PQdb(conn));
		fprintf(stderr, "%s: hint: Run \"CREATE EXTENSION pg_derive\" there.\n",
				CLIENT_NAME);
		exit(EXIT_ERROR);
	}
	PQclear(res);
}

/* Returns a connection to a database that has the extension, or exits. */
PGconn *
derive_client_connect(const ConnOptions *options)
{
	char *password = NULL;
	PGconn *conn;

	if (options->prompt == PROMPT_ALWAYS)
		password = ask_password();
	conn = try_connect(options, password);
	if (PQstatus(conn) == CONNECTION_BAD && PQconnectionNeedsPassword(conn) &&
		password == NULL && options->prompt != PROMPT_NEVER)
	{
		PQfinish(conn);
		password = ask_password();
		conn = try_connect(options, password);
	}
	if (PQstatus(conn) == CONNECTION_BAD)
	{
		derive_client_report(conn, NULL);
		exit(EXIT_UNUSABLE);
	}
	require_extension(conn);
	return conn;
}

/*
 * Reports what went wrong with a query (res) or a connection (res is NULL) and
 * returns the exit code for it.
 */
int
derive_client_report(PGconn *conn, const PGresult *res)
{
	const char *message = res ? PQresultErrorMessage(res) : PQerrorMessage(conn);
	int len = strlen(message);

	while (len > 0 && message[len - 1] == '\n')
		len--;
	derive_client_error("%s%.*s", res ? "query failed: " : "", len, message);
	return PQstatus(conn) == CONNECTION_BAD ? EXIT_UNUSABLE : EXIT_ERROR;
}

/* Runs a query with text parameters and returns its rows, or reports and exits. */
PGresult *
derive_client_query(PGconn *conn, const char *sql, int nparams, const char *const *params)
{
	PGresult *res = PQexecParams(conn, sql, nparams, NULL, params, NULL, NULL, 0);

	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		exit(derive_client_report(conn, res));
	return res;
}

/* Cancels the query that runs on the caught connection; safe in a signal handler. */
void
derive_client_cancel_query(void)
{
	int saved_errno = errno;
	char message[256];

	if (running != NULL)
		PQcancel(running, message, sizeof(message));
	errno = saved_errno;
}

/* Handles SIGINT and SIGTERM while a command waits for its one query. */
static void
handle_interrupt(int signo)
{
	(void) signo;
	interrupted = true;
	derive_client_cancel_query();
}

/* Says whether Ctrl-C was pressed since the interrupt was caught. */
bool
derive_client_interrupted(void)
{
	return interrupted;
}

/* Lets derive_client_cancel_query() cancel what runs on conn. */
void
derive_client_prepare_cancel(PGconn *conn)
{
	running = PQgetCancel(conn);
}

/* Makes Ctrl-C cancel the query on conn, whose error then ends the program. */
void
derive_client_catch_interrupt(PGconn *conn)
{
	struct sigaction action = {0};

	derive_client_prepare_cancel(conn);
	action.sa_handler = handle_interrupt;
	action.sa_flags = SA_RESTART;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}
