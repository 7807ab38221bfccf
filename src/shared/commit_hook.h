/*-------------------------------------------------------------------------
 *
 * commit_hook.h
 *	  The only code of ours that runs in a writer, see commit_hook.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_SHARED_COMMIT_HOOK_H
#define DERIVE_SHARED_COMMIT_HOOK_H

/* From _PG_init: registers the transaction callback. */
extern void derive_commit_hook_init(void);

/*
 * Workers call this once: their own commits wake nobody and do not count.
 */
extern void derive_commit_hook_disable(void);

/*
 * Makes the commit of the current transaction raise catalog_version of this
 * database's pipeline and wake its applier (and the launcher, if start is set:
 * CREATE EXTENSION, so that the pipeline becomes wanted).
 */
extern void derive_commit_hook_catalog_changed(bool start);

/*
 * Makes the commit of the current transaction let the launcher look for databases
 * that it has not seen (CREATE DATABASE from a template that has the extension).
 */
extern void derive_commit_hook_probe_databases(void);

#endif /* DERIVE_SHARED_COMMIT_HOOK_H */
