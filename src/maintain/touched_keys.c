/*-------------------------------------------------------------------------
 *
 * touched_keys.c
 *	  Keys of what is computed anew, by pattern of NULLs.
 *
 * The keys of groups (fold_touched.c) or parts (keys.c) to be computed anew are
 * collected in named tuplestores "touched", one for each pattern of NULLs: with the
 * pattern known, a query can say "g = k" for each key that is not NULL, which an index
 * serves, and "g IS NULL" for the others.  The tuplestores spill by themselves.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "maintain/touched_keys.h"
#include "miscadmin.h"

/* The keys with one pattern of NULLs. */
typedef struct TouchedPattern
{
	Bitmapset *nulls; /* keys (0-based) that are NULL */
	Tuplestorestate *rows;
	int64 nrows;
} TouchedPattern;

struct TouchedKeys
{
	MemoryContext context;
	TupleDesc desc; /* k1 .. kn */
	List *patterns; /* of TouchedPattern */
};

/* Makes an empty collection of a stage's keys, in CurrentMemoryContext. */
TouchedKeys *
derive_touched_keys_begin(Stage *stage)
{
	TouchedKeys *touched = palloc0(sizeof(TouchedKeys));

	touched->context = CurrentMemoryContext;
	touched->desc = CreateTemplateTupleDesc(stage->nkeys);
	for (int i = 0; i < stage->nkeys; i++)
	{
		TupleDescInitEntry(touched->desc, i + 1, psprintf("k%d", i + 1),
						   stage->keys[i].type, stage->keys[i].typmod, 0);
		TupleDescInitEntryCollation(touched->desc, i + 1, stage->keys[i].collation);
	}
	return touched;
}

/* Returns the collection for a pattern, making it at the first time. */
static TouchedPattern *
find_pattern(TouchedKeys *touched, Bitmapset *nulls)
{
	ListCell *lc;
	MemoryContext oldcontext;
	TouchedPattern *pattern;

	foreach (lc, touched->patterns)
	{
		pattern = (TouchedPattern *) lfirst(lc);
		if (bms_equal(pattern->nulls, nulls))
			return pattern;
	}

	oldcontext = MemoryContextSwitchTo(touched->context);
	pattern = palloc0(sizeof(TouchedPattern));
	pattern->nulls = bms_copy(nulls);
	pattern->rows = tuplestore_begin_heap(false, false, work_mem);
	tuplestore_set_eflags(pattern->rows, EXEC_FLAG_REWIND);
	touched->patterns = lappend(touched->patterns, pattern);
	MemoryContextSwitchTo(oldcontext);
	return pattern;
}

/* Adds the keys that are the first columns of a row, which is deformed. */
void
derive_touched_keys_add(TouchedKeys *touched, TupleTableSlot *row)
{
	Bitmapset *nulls = NULL;
	TouchedPattern *pattern;

	for (int i = 0; i < touched->desc->natts; i++)
	{
		if (row->tts_isnull[i])
			nulls = bms_add_member(nulls, i);
	}
	pattern = find_pattern(touched, nulls);
	tuplestore_putvalues(pattern->rows, touched->desc, row->tts_values, row->tts_isnull);
	pattern->nrows++;
	bms_free(nulls);
}

/* Returns how many patterns of NULLs there are. */
int
derive_touched_keys_patterns(TouchedKeys *touched)
{
	return list_length(touched->patterns);
}

/* Runs a query once for each pattern, whose keys are then "touched", and frees them. */
void
derive_touched_keys_run(TouchedKeys *touched, QueryCache *queries, SqlMaker make_sql,
						RowConsumer consume, void *arg)
{
	ListCell *lc;

	foreach (lc, touched->patterns)
	{
		TouchedPattern *pattern = (TouchedPattern *) lfirst(lc);
		QueryKey key = {make_sql, pattern->nulls, pattern->nrows, NULL};

		derive_query_register(DERIVE_TOUCHED_NAME, touched->desc, pattern->rows,
							  pattern->nrows);
		derive_query_run_kept(queries, &key, consume, arg);
		derive_query_unregister(DERIVE_TOUCHED_NAME);
		tuplestore_end(pattern->rows);
	}
}
