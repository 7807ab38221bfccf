/*-------------------------------------------------------------------------
 *
 * fold_touched.c
 *	  Groups that are computed anew.
 *
 * The keys of groups whose new state cannot be folded are collected in named
 * tuplestores "touched", one for each pattern of NULLs: with the pattern known, the
 * query can say "g = k" for each key that is not NULL, which an index serves, and
 * "g IS NULL" for the others.  The tuplestores spill by themselves.  A group that
 * the query does not give has no rows any more; so that this is seen row by row, the
 * query is joined to the tuplestore from outside.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_operator.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "maintain/fold_touched.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#define TOUCHED_NAME "touched"

/* The groups with one pattern of NULLs. */
typedef struct TouchedPattern
{
	Bitmapset *nulls; /* keys (0-based) that are NULL */
	Tuplestorestate *rows;
	int64 nrows;
} TouchedPattern;

struct TouchedGroups
{
	MemoryContext context;
	Stage *stage;
	TupleDesc desc;		  /* k1 .. kn */
	List *patterns;		  /* of TouchedPattern */
	TupleTableSlot *keys; /* virtual state rows for the consumer */
	TupleTableSlot *state;
	GroupConsumer consume;
	void *arg;
};

/* Makes an empty collection, in the run's context. */
TouchedGroups *
derive_touched_begin(ViewRun *run)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(run->context);
	TouchedGroups *touched = palloc0(sizeof(TouchedGroups));
	Stage *stage = run->plan->stage;

	touched->context = run->context;
	touched->stage = stage;
	touched->desc = CreateTemplateTupleDesc(stage->nkeys);
	for (int i = 0; i < stage->nkeys; i++)
	{
		TupleDescInitEntry(touched->desc, i + 1, psprintf("k%d", i + 1),
						   stage->keys[i].type, stage->keys[i].typmod, 0);
		TupleDescInitEntryCollation(touched->desc, i + 1, stage->keys[i].collation);
	}
	touched->keys = MakeSingleTupleTableSlot(run->state->desc, &TTSOpsVirtual);
	touched->state = MakeSingleTupleTableSlot(run->state->desc, &TTSOpsVirtual);
	MemoryContextSwitchTo(oldcontext);
	return touched;
}

/* Returns the collection for a pattern, making it at the first time. */
static TouchedPattern *
find_pattern(TouchedGroups *touched, Bitmapset *nulls)
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

/* Puts the group of a state row aside. */
void
derive_touched_add(TouchedGroups *touched, TupleTableSlot *state)
{
	Bitmapset *nulls = NULL;
	TouchedPattern *pattern;

	for (int i = 0; i < touched->stage->nkeys; i++)
	{
		if (state->tts_isnull[i])
			nulls = bms_add_member(nulls, i);
	}
	pattern = find_pattern(touched, nulls);
	tuplestore_putvalues(pattern->rows, touched->desc, state->tts_values,
						 state->tts_isnull);
	pattern->nrows++;
	bms_free(nulls);
}

/* Appends "left.name operator right.name" with the operator's schema. */
static void
append_equality(StringInfo sql, Oid operator, const char * left, const char *right)
{
	HeapTuple tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	appendStringInfo(sql, "%s OPERATOR(%s.%s) %s", left,
					 quote_identifier(get_namespace_name(form->oprnamespace)),
					 NameStr(form->oprname), right);
	ReleaseSysCache(tuple);
}

/*
 * Makes the SQL for one pattern (a SqlMaker): keys, then the state's columns, which
 * are all NULL for a group that is gone.
 */
static char *
make_touched_sql(ViewPlan *plan, Bitmapset *nulls)
{
	Stage *stage = plan->stage;
	StringInfoData sql;
	const char *and = "";

	if (stage->nkeys == 0)
		return derive_plan_full_sql(plan);

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 0; i < stage->nkeys; i++)
		appendStringInfo(&sql, "t.k%d, ", i + 1);
	appendStringInfo(&sql, "s.* FROM %s AS t LEFT JOIN (%s) AS s(", TOUCHED_NAME,
					 derive_plan_touched_sql(plan, nulls));
	for (int i = 0; i < stage->nkeys; i++)
		appendStringInfo(&sql, "%sk%d", i > 0 ? ", " : "", i + 1);
	appendStringInfoString(&sql, ") ON ");
	for (int i = 0; i < stage->nkeys; i++)
	{
		if (bms_is_member(i, nulls))
			continue;
		appendStringInfoString(&sql, and);
		append_equality(&sql, stage->keys[i].eq_op, psprintf("t.k%d", i + 1),
						psprintf("s.k%d", i + 1));
		and = " AND ";
	}
	if (and[0] == '\0')
		appendStringInfoString(&sql, "true");
	return sql.data;
}

/* Takes a row of that SQL (a RowConsumer) and hands it on as a group. */
static void
take_row(TupleTableSlot *row, void *arg)
{
	TouchedGroups *touched = (TouchedGroups *) arg;
	int nkeys = touched->stage->nkeys;
	int nstate = touched->state->tts_tupleDescriptor->natts;
	bool gone;

	slot_getallattrs(row);
	ExecClearTuple(touched->keys);
	memset(touched->keys->tts_isnull, true, sizeof(bool) * nstate);
	memcpy(touched->keys->tts_values, row->tts_values, sizeof(Datum) * nkeys);
	memcpy(touched->keys->tts_isnull, row->tts_isnull, sizeof(bool) * nkeys);
	ExecStoreVirtualTuple(touched->keys);

	gone = row->tts_isnull[nkeys + nkeys]; /* "n" */
	ExecClearTuple(touched->state);
	memcpy(touched->state->tts_values, row->tts_values + nkeys, sizeof(Datum) * nstate);
	memcpy(touched->state->tts_isnull, row->tts_isnull + nkeys, sizeof(bool) * nstate);
	ExecStoreVirtualTuple(touched->state);

	touched->consume(touched->keys, gone ? NULL : touched->state, touched->arg);
}

/* Computes all groups put aside anew and hands each to a consumer. */
void
derive_touched_run(TouchedGroups *touched, ViewRun *run, GroupConsumer consume, void *arg)
{
	ListCell *lc;

	touched->consume = consume;
	touched->arg = arg;
	foreach (lc, touched->patterns)
	{
		TouchedPattern *pattern = (TouchedPattern *) lfirst(lc);
		QueryKey key = {make_touched_sql, pattern->nulls, pattern->nrows, NULL};

		derive_query_register(TOUCHED_NAME, touched->desc, pattern->rows, pattern->nrows);
		derive_query_run_kept(run->queries, &key, take_row, touched);
		derive_query_unregister(TOUCHED_NAME);
		tuplestore_end(pattern->rows);
	}
}
