/*-------------------------------------------------------------------------
 *
 * workers.h
 *	  Entry points of the background workers that the launcher starts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_WORKER_WORKERS_H
#define DERIVE_WORKER_WORKERS_H

extern PGDLLEXPORT void derive_applier_main(Datum arg);

#endif /* DERIVE_WORKER_WORKERS_H */
