/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The worker that keeps one applier per database running, see launcher.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_WORKER_LAUNCHER_H
#define DERIVE_WORKER_LAUNCHER_H

/* From _PG_init: registers the launcher with the postmaster. */
extern void derive_launcher_register(void);

extern PGDLLEXPORT void derive_launcher_main(Datum arg);

/*
 * Stops the workers of a database and keeps them away until resume, or until this
 * process ends.  Waits up to 10 s until they are gone.
 */
extern void derive_launcher_hold_database(Oid dboid);

/* Ends a hold.  If the database has been dropped, its entry is given back. */
extern void derive_launcher_resume_database(Oid dboid);

#endif /* DERIVE_WORKER_LAUNCHER_H */
