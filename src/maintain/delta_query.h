/*-------------------------------------------------------------------------
 *
 * delta_query.h
 *	  Running maintenance SQL, row by row, with plans that are kept.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_DELTA_QUERY_H
#define DERIVE_MAINTAIN_DELTA_QUERY_H

#include "executor/tuptable.h"
#include "maintain/delta.h"
#include "nodes/plannodes.h"
#include "plan/plan.h"

/* Takes one row of a result; the row is only good during the call. */
typedef void (*RowConsumer)(TupleTableSlot *row, void *arg);

/* Makes the SQL of a kept query. */
typedef char *(*SqlMaker)(ViewPlan *plan, Bitmapset *part);

/* The kept plans of one view; opaque. */
typedef struct QueryCache QueryCache;

/* Which plan is wanted: all of it must be equal for a kept one to be used. */
typedef struct QueryKey
{
	SqlMaker make_sql;	 /* which SQL of the view */
	Bitmapset *part;	 /* handed to make_sql */
	int64 nrows;		 /* of the tuplestores; its order of magnitude counts */
	uint64 *generations; /* layout of each source's delta, 0 if not read; or NULL */
} QueryKey;

extern QueryCache *derive_query_cache(MemoryContext context, ViewPlan *plan);
extern void derive_query_cache_free(QueryCache *cache);
extern void derive_query_run_kept(QueryCache *cache, const QueryKey *key,
								  RowConsumer consume, void *arg);
extern Plan *derive_query_plan(QueryCache *cache, const QueryKey *key);
extern void derive_query_new_run(QueryCache *cache);
extern void derive_query_run_once(const char *sql, RowConsumer consume, void *arg);

extern void derive_query_register(const char *name, TupleDesc desc, Tuplestorestate *rows,
								  int64 nrows);
extern void derive_query_unregister(const char *name);

#endif /* DERIVE_MAINTAIN_DELTA_QUERY_H */
