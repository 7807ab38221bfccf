/*-------------------------------------------------------------------------
 *
 * process.h
 *	  What every background worker of pg_derive does at its start, see process.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_SHARED_PROCESS_H
#define DERIVE_SHARED_PROCESS_H

extern void derive_process_start(void); /* first of all: signals */

/* The same, for one whose commits are those of users: they count and wake others. */
extern void derive_process_start_as_writer(void);
extern void derive_process_override_settings(void); /* after connecting to a database */
extern void derive_process_reload(void); /* re-reads the configuration if asked to */

#endif /* DERIVE_SHARED_PROCESS_H */
