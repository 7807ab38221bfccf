/*-------------------------------------------------------------------------
 *
 * commands.h
 *	  The commands of the pg_derive program, one file each.
 *
 * Each gets its own argument vector (argv[0] is the program's name) and the
 * connection options given before it, and returns the program's exit code.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CLIENT_COMMANDS_H
#define DERIVE_CLIENT_COMMANDS_H

#include "common.h"

extern int derive_client_explain(int argc, char **argv, ConnOptions *options);
extern int derive_client_verify(int argc, char **argv, ConnOptions *options);
extern int derive_client_wait(int argc, char **argv, ConnOptions *options);
extern int derive_client_watch(int argc, char **argv, ConnOptions *options);

#endif /* DERIVE_CLIENT_COMMANDS_H */
