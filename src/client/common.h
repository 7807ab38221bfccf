/*-------------------------------------------------------------------------
 *
 * common.h
 *	  What the commands of the pg_derive program share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CLIENT_COMMON_H
#define DERIVE_CLIENT_COMMON_H

#include <getopt.h>
#include <stdbool.h>

#include "libpq-fe.h"

#define CLIENT_NAME "pg_derive"
#define CLIENT_VERSION "0.1"

/* Exit codes, see README.md. */
#define EXIT_OK 0
#define EXIT_ERROR 1
#define EXIT_UNUSABLE 2

typedef enum PasswordPrompt
{
	PROMPT_IF_NEEDED,
	PROMPT_NEVER,
	PROMPT_ALWAYS,
} PasswordPrompt;

typedef struct ConnOptions
{
	const char *host;
	const char *port;
	const char *user;
	const char *dbname;
	PasswordPrompt prompt;
} ConnOptions;

/* For getopt_long: the connection options, and what every command has besides. */
#define COMMON_SHORT_OPTIONS "h:p:U:wWd:"
#define COMMON_LONG_OPTIONS                                                            \
	{"host", required_argument, NULL, 'h'}, {"port", required_argument, NULL, 'p'},    \
		{"username", required_argument, NULL, 'U'},                                    \
		{"no-password", no_argument, NULL, 'w'}, {"password", no_argument, NULL, 'W'}, \
		{"dbname", required_argument, NULL, 'd'},                                      \
	{                                                                                  \
		"help", no_argument, NULL, OPTION_HELP                                         \
	}

#define OPTION_HELP 1000

extern bool derive_client_common_option(ConnOptions *options, int c, const char *value);
extern bool derive_client_wants_help(int argc, char **argv);
extern void derive_client_print_connection_help(void);

extern PGconn *derive_client_connect(const ConnOptions *options);
extern PGresult *derive_client_query(PGconn *conn, const char *sql, int nparams,
									 const char *const *params);
extern int derive_client_report(PGconn *conn, const PGresult *res);
extern void derive_client_catch_interrupt(PGconn *conn);
extern bool derive_client_interrupted(void);
extern void derive_client_prepare_cancel(PGconn *conn);
extern void derive_client_cancel_query(void);

extern void
derive_client_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
extern void derive_client_usage_error(const char *command, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), noreturn));
extern void derive_client_flush(void);
extern void *derive_client_alloc(size_t size);
extern char *
derive_client_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
extern double
derive_client_parse_seconds(const char *command, const char *option, const char *value);

#endif /* DERIVE_CLIENT_COMMON_H */
