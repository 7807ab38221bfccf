/*-------------------------------------------------------------------------
 *
 * delta_query.c
 *	  Running maintenance SQL, row by row, with plans that are kept.
 *
 * The queries read named tuplestores (deltas, touched keys) beside ordinary
 * tables.  They run read-only under the active snapshot, as the current user,
 * over the SPI connection that is open, and hand each row to a consumer as the
 * executor makes it: a million rows are never held.  A consumer may write, even
 * to a table that the query reads, because the snapshot does not see what a
 * command of the same id writes.  It must not take a new command id into the
 * active snapshot.
 *
 * A kept plan freezes the estimate of a delta's size and, until the next ANALYZE,
 * that of the tables.  So there is one plan per order of magnitude of the
 * tuplestores' rows, and a plan is made again when a source has grown or shrunk
 * by a factor of REPLAN_FACTOR.  No more than MAX_KEPT are kept per view, the one
 * that was not used for longest goes first.
 *
 * Queries that begin with few rows find the rest through indexes, in pages that the
 * writers have just had in memory: they are planned with LOOKUP_PAGE_COST instead of the
 * server's random_page_cost, which is meant for disks and makes the planner read a table
 * of 100,000 rows to find 1,000.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "executor/spi.h"
#include "maintain/delta_query.h"
#include "maintain/delta_statistics.h"
#include "storage/bufmgr.h"
#include "tcop/dest.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define MAX_KEPT 32
#define REPLAN_FACTOR 4
#define REPLAN_PAGES 64 /* smaller tables do not cause it */

/* In the planner's units, of which a sequential page read is 1. */
#define LOOKUP_PAGE_COST "0.5"

typedef struct KeptQuery
{
	SqlMaker make_sql;
	Bitmapset *part;
	int magnitude;
	uint64 *generations; /* [nsources] */
	BlockNumber *pages;	 /* [nsources] when the plan was made */
	SPIPlanPtr plan;
	uint64 last_used;
} KeptQuery;

struct QueryCache
{
	MemoryContext context;
	ViewPlan *plan;
	int nsources;
	BlockNumber *pages; /* [nsources] in this run, if measured */
	bool measured;
	KeptQuery kept[MAX_KEPT];
	int nkept;
	uint64 clock;
};

/* A receiver that hands rows to a consumer. */
typedef struct ConsumerDest
{
	DestReceiver pub;
	RowConsumer consume;
	void *arg;
} ConsumerDest;

/* Makes an empty cache in a context that lives as long as the view's runner. */
QueryCache *
derive_query_cache(MemoryContext context, ViewPlan *plan)
{
	QueryCache *cache = MemoryContextAllocZero(context, sizeof(QueryCache));

	cache->context = context;
	cache->plan = plan;
	cache->nsources = list_length(plan->sources);
	cache->pages = MemoryContextAllocZero(context,
										  sizeof(BlockNumber) * (cache->nsources + 1));
	return cache;
}

/* Frees one kept plan and closes the gap it leaves. */
static void
drop_kept(QueryCache *cache, int i)
{
	SPI_freeplan(cache->kept[i].plan);
	bms_free(cache->kept[i].part);
	pfree(cache->kept[i].generations);
	pfree(cache->kept[i].pages);
	cache->kept[i] = cache->kept[--cache->nkept];
}

/* Frees all kept plans; they do not lie in the cache's context. */
void
derive_query_cache_free(QueryCache *cache)
{
	while (cache->nkept > 0)
		drop_kept(cache, cache->nkept - 1);
}

/* Returns the number of decimal digits. */
static int
magnitude_of(int64 nrows)
{
	int magnitude = 0;

	for (; nrows > 0; nrows /= 10)
		magnitude++;
	return magnitude;
}

/* Says that a run begins: the sources' sizes may be others than in the last one. */
void
derive_query_new_run(QueryCache *cache)
{
	cache->measured = false;
}

/*
 * Notes the present sizes of the sources, once in a run; partitioned ones have none of
 * their own.
 */
static void
measure_sources(QueryCache *cache)
{
	ListCell *lc;

	if (cache->measured)
		return;
	cache->measured = true;
	foreach (lc, cache->plan->sources)
	{
		Relation rel = relation_open(((PlanSource *) lfirst(lc))->relid, AccessShareLock);

		cache->pages[foreach_current_index(lc)] = RELKIND_HAS_STORAGE(
													  rel->rd_rel->relkind)
													  ? RelationGetNumberOfBlocks(rel)
													  : 0;
		relation_close(rel, NoLock);
	}
}

/* Tells whether a source's size differs much from what a plan was made for. */
static bool
sizes_differ(QueryCache *cache, const KeptQuery *kept)
{
	for (int i = 0; i < cache->nsources; i++)
	{
		uint64 now = Max(cache->pages[i], REPLAN_PAGES);
		uint64 then = Max(kept->pages[i], REPLAN_PAGES);

		if (now > then * REPLAN_FACTOR || then > now * REPLAN_FACTOR)
			return true;
	}
	return false;
}

/* Tells whether a kept query is for the deltas' present layouts. */
static bool
same_generations(QueryCache *cache, const KeptQuery *kept, const QueryKey *key)
{
	for (int i = 0; i < cache->nsources; i++)
	{
		if (kept->generations[i] != (key->generations != NULL ? key->generations[i] : 0))
			return false;
	}
	return true;
}

/* Prepares a plan, in SPI's own memory until it is freed. */
static SPIPlanPtr
prepare(const char *sql)
{
	SPIPlanPtr plan = SPI_prepare(sql, 0, NULL);

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql,
			 SPI_result_code_string(SPI_result));
	return plan;
}

/* Makes room in a full cache. */
static void
evict_one(QueryCache *cache)
{
	int oldest = 0;

	for (int i = 1; i < cache->nkept; i++)
	{
		if (cache->kept[i].last_used < cache->kept[oldest].last_used)
			oldest = i;
	}
	drop_kept(cache, oldest);
}

/* Prepares a query and keeps it. */
static KeptQuery *
add_kept(QueryCache *cache, const QueryKey *key)
{
	SPIPlanPtr plan = prepare(key->make_sql(cache->plan, key->part));
	MemoryContext oldcontext;
	KeptQuery *kept;

	if (cache->nkept == MAX_KEPT)
		evict_one(cache);
	oldcontext = MemoryContextSwitchTo(cache->context);
	kept = &cache->kept[cache->nkept];
	kept->make_sql = key->make_sql;
	kept->part = bms_copy(key->part);
	kept->magnitude = magnitude_of(key->nrows);
	kept->generations = palloc0(sizeof(uint64) * (cache->nsources + 1));
	if (key->generations != NULL)
		memcpy(kept->generations, key->generations, sizeof(uint64) * cache->nsources);
	kept->pages = palloc(sizeof(BlockNumber) * (cache->nsources + 1));
	memcpy(kept->pages, cache->pages, sizeof(BlockNumber) * cache->nsources);
	kept->plan = plan;
	MemoryContextSwitchTo(oldcontext);

	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep a plan");
	cache->nkept++;
	return kept;
}

/* Finds the kept query for a key, or makes it. */
static KeptQuery *
find_kept(QueryCache *cache, const QueryKey *key)
{
	int magnitude = magnitude_of(key->nrows);

	measure_sources(cache);
	for (int i = 0; i < cache->nkept; i++)
	{
		KeptQuery *kept = &cache->kept[i];

		if (kept->make_sql != key->make_sql || kept->magnitude != magnitude ||
			!bms_equal(kept->part, key->part))
			continue;
		if (same_generations(cache, kept, key) && !sizes_differ(cache, kept))
			return kept;
		drop_kept(cache, i);
		break;
	}
	return add_kept(cache, key);
}

/* Receives a row of the executor's. */
static bool
receive_row(TupleTableSlot *row, DestReceiver *self)
{
	ConsumerDest *dest = (ConsumerDest *) self;

	dest->consume(row, dest->arg);
	return true;
}

static void
receive_start(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
receive_end(DestReceiver *self)
{
}

/* Executes a plan read-only and hands its rows to a consumer. */
static void
execute(SPIPlanPtr plan, RowConsumer consume, void *arg)
{
	ConsumerDest dest = {{0}};
	SPIExecuteOptions options = {0};
	int result;

	dest.pub.receiveSlot = receive_row;
	dest.pub.rStartup = receive_start;
	dest.pub.rShutdown = receive_end;
	dest.pub.rDestroy = receive_end;
	dest.pub.mydest = DestTuplestore;
	dest.consume = consume;
	dest.arg = arg;

	options.read_only = true;
	options.must_return_tuples = true;
	options.dest = (DestReceiver *) &dest;
	result = SPI_execute_plan_extended(plan, &options);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "maintenance query failed: %s", SPI_result_code_string(result));
}

/*
 * Plans a kept query, and runs it if there is a consumer.  Queries over deltas or touched
 * keys are planned for lookups in memory.
 */
static void
plan_and_run(QueryCache *cache, KeptQuery *kept, const QueryKey *key, RowConsumer consume,
			 void *arg)
{
	int nest_level = NewGUCNestLevel();

	if (key->nrows > 0)
		(void) set_config_option("random_page_cost", LOOKUP_PAGE_COST, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	PG_TRY();
	{
		derive_delta_statistics_use(cache->plan);
		if (consume != NULL)
			execute(kept->plan, consume, arg);
		else
			ReleaseCachedPlan(SPI_plan_get_cached_plan(kept->plan), CurrentResourceOwner);
	}
	PG_FINALLY();
	{
		derive_delta_statistics_use(NULL);
	}
	PG_END_TRY();
	AtEOXact_GUC(true, nest_level);
}

/*
 * Returns the executor's plan of a kept query, for its estimates; good until the query is
 * run or another one is asked for.  What core keeps is only looked at: a plan that has
 * become invalid still serves as an estimate, and core makes it anew when it is run.
 */
Plan *
derive_query_plan(QueryCache *cache, const QueryKey *key)
{
	MemoryContext context = CurrentMemoryContext;
	KeptQuery *kept = find_kept(cache, key);
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(kept->plan));

	kept->last_used = ++cache->clock;
	if (source->gplan == NULL)
		plan_and_run(cache, kept, key, NULL, NULL);
	MemoryContextSwitchTo(context); /* SPI left another one */
	return linitial_node(PlannedStmt, source->gplan->stmt_list)->planTree;
}

/* Runs a query whose plan is kept. */
void
derive_query_run_kept(QueryCache *cache, const QueryKey *key, RowConsumer consume,
					  void *arg)
{
	KeptQuery *kept = find_kept(cache, key);

	kept->last_used = ++cache->clock;
	plan_and_run(cache, kept, key, consume, arg);
}

/* Runs a query that is not worth keeping. */
void
derive_query_run_once(const char *sql, RowConsumer consume, void *arg)
{
	SPIPlanPtr plan = prepare(sql);

	execute(plan, consume, arg);
	SPI_freeplan(plan);
}

/* Makes a tuplestore visible to the open SPI connection's queries under a name. */
void
derive_query_register(const char *name, TupleDesc desc, Tuplestorestate *rows,
					  int64 nrows)
{
	EphemeralNamedRelation relation = palloc0(sizeof(EphemeralNamedRelationData));
	int result;

	relation->md.name = pstrdup(name);
	relation->md.reliddesc = InvalidOid;
	relation->md.tupdesc = desc;
	relation->md.enrtype = ENR_NAMED_TUPLESTORE;
	relation->md.enrtuples = nrows;
	relation->reldata = rows;
	result = SPI_register_relation(relation);
	if (result != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register \"%s\": %s", name,
			 SPI_result_code_string(result));
}

/* Takes a name back. */
void
derive_query_unregister(const char *name)
{
	if (SPI_unregister_relation(name) != SPI_OK_REL_UNREGISTER)
		elog(ERROR, "could not unregister \"%s\"", name);
}
