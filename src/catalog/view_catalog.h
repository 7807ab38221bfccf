/*-------------------------------------------------------------------------
 *
 * view_catalog.h
 *	  The rows of schema derive_state as structs, see view_catalog.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CATALOG_VIEW_CATALOG_H
#define DERIVE_CATALOG_VIEW_CATALOG_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "nodes/parsenodes.h"
#include "storage/lockdefs.h"

#define DERIVE_EXTENSION "pg_derive"
#define DERIVE_STATE_SCHEMA "derive_state"

/* A row of derive_state.view, with its row of derive_state.progress. */
typedef struct CatalogView
{
	Oid view;
	int64 id;
	Oid part_of;	  /* of a stage: its view; else InvalidOid */
	Oid query;		  /* ordinary view that holds the query */
	Oid definition;	  /* ordinary view that holds the block that is maintained */
	Oid state_table;  /* InvalidOid: none */
	List *key;		  /* int list of attnos; NIL: none */
	List *source_key; /* likewise: the key by which changes of its source are read */
	bool key_given;	  /* by the user */
	bool paused;
	int64 refreshes; /* asked for */
	int64
		refresh_every; /* ms after which what is not in the log is read again; 0: never */
	TransactionId xmin; /* that wrote this row */

	/* progress; state is NULL if the applier has not seen the view yet */
	char *state;
	char *reason;
	char *frontier;			 /* text of a pg_snapshot, or NULL */
	XLogRecPtr frontier_lsn; /* with frontier */
	int64 refreshes_done;
} CatalogView;

/* The row of derive_state.frontier. */
typedef struct CatalogFrontier
{
	char *frontier; /* text of a pg_snapshot */
	XLogRecPtr applied_lsn;
	XLogRecPtr restart_lsn;
	XLogRecPtr published_lsn;
	uint64 system_identifier;
	TimeLineID timeline;
	Oid database;
} CatalogFrontier;

/* A new row of derive_state.view. */
typedef struct CatalogNewView
{
	Oid view;
	int64 id;
	Oid part_of;
	Oid query;
	Oid definition;
	Oid state_table;
	List *key;
	List *source_key; /* NIL: changes are read as rows */
	bool key_given;
	const char *rule;
	bool paused;
	Interval *refresh_every; /* NULL: when it is asked for */
} CatalogNewView;

extern bool derive_catalog_extension_exists(void);
extern bool derive_catalog_has_view(Oid relid);
extern void derive_catalog_check_version(void);
extern bool derive_catalog_has_outbox(Oid relid);

/* For the applier: an SPI connection and a snapshot must be there. */
extern List *derive_catalog_read_views(void);
extern bool derive_catalog_read_frontier(CatalogFrontier *frontier);
extern void derive_catalog_write_frontier(const CatalogFrontier *frontier);
extern void derive_catalog_write_progress(int64 id, const char *state, const char *reason,
										  const char *frontier, XLogRecPtr frontier_lsn,
										  int64 refreshes_done);
extern void derive_catalog_delete_orphans(void);
extern void derive_catalog_insert_audit(int64 id, const char *kind, const char *expected,
										const char *actual);
extern void derive_catalog_trim_audits(void);
extern void derive_catalog_set_repaired(int64 id);

/* For SQL functions: these become the extension's owner around their work. */
extern CatalogView *derive_catalog_find_view(Oid view);
extern List *derive_catalog_find_stages(Oid view);
extern int64 derive_catalog_next_id(void);
extern void derive_catalog_insert_view(const CatalogNewView *row);
extern void derive_catalog_delete_view(Oid view);
extern void derive_catalog_set_paused(Oid view, bool paused);
extern void derive_catalog_ask_refresh(Oid view);

/* Replaces what a view's row says of how it is maintained, and its id. */
extern void derive_catalog_redefine_view(const CatalogNewView *row);

/*
 * Returns the derived views (oids, sources before readers) whose queries read a relation,
 * through ordinary views at any distance; derived: or through other derived views.  Shows
 * what is committed now, whatever the transaction's snapshot.
 */
extern List *derive_catalog_readers(Oid relid, bool derived);

/* Returns a copy of an ordinary view's query; lock: NoLock if it is locked already. */
extern Query *derive_catalog_read_query(Oid relid, LOCKMODE lock);

/* Gives a view and its stages new ids, behind all others: it will be compared anew. */
extern void derive_catalog_move_to_end(Oid view);

#endif /* DERIVE_CATALOG_VIEW_CATALOG_H */
