/*-------------------------------------------------------------------------
 *
 * fold_touched.c
 *	  Groups that are computed anew.
 *
 * The keys of groups whose new state cannot be folded are collected (touched_keys.c).
 * A group that the query for their state does not give has no rows any more; so that
 * this is seen row by row, the query is joined to the keys from outside.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "maintain/fold_touched.h"
#include "maintain/touched_keys.h"
#include "plan/sql.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

struct TouchedGroups
{
	Stage *stage;
	TouchedKeys *groups;
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

	touched->stage = stage;
	touched->groups = derive_touched_keys_begin(stage);
	touched->keys = MakeSingleTupleTableSlot(run->state->desc, &TTSOpsVirtual);
	touched->state = MakeSingleTupleTableSlot(run->state->desc, &TTSOpsVirtual);
	MemoryContextSwitchTo(oldcontext);
	return touched;
}

/* Puts the group of a state row aside. */
void
derive_touched_add(TouchedGroups *touched, TupleTableSlot *state)
{
	derive_touched_keys_add(touched->groups, state);
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
	appendStringInfo(&sql, "s.* FROM %s AS t LEFT JOIN (%s) AS s(", DERIVE_TOUCHED_NAME,
					 derive_plan_touched_sql(plan, nulls));
	for (int i = 0; i < stage->nkeys; i++)
		appendStringInfo(&sql, "%sk%d", i > 0 ? ", " : "", i + 1);
	appendStringInfoString(&sql, ") ON ");
	for (int i = 0; i < stage->nkeys; i++)
	{
		if (bms_is_member(i, nulls))
			continue;
		appendStringInfoString(&sql, and);
		appendStringInfoString(&sql, derive_sql_equality(stage->keys[i].eq_op,
														 psprintf("t.k%d", i + 1),
														 psprintf("s.k%d", i + 1)));
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
	touched->consume = consume;
	touched->arg = arg;
	derive_touched_keys_run(touched->groups, run->queries, make_touched_sql, take_row,
							touched);
}
